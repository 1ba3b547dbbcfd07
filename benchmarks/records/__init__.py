"""Cells, results and records, and the environments and versions that they belong to."""
