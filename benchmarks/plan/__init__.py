"""Cells, records and table specifications, and the way from one to the other."""
