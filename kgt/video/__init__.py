"""Clips: restored frame by frame, with sound and time stamps kept. PyAV decodes and encodes."""
