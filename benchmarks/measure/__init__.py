"""Latency, memory, statistics and the environment they were taken in."""
