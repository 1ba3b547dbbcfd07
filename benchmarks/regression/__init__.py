"""Regression tracking: exact values that gate, paired times of two commits, and history."""
