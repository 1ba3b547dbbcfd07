"""Regression tracking: exact counters, paired timing of two commits, history."""
