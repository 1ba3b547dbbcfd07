"""Sweeps: a study as a graph of jobs, each a process of its own, run by an engine."""
