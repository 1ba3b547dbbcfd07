"""Specifications of tables and studies, and what measures their cells."""
