"""A static site of what was measured: findings, tables, claims, pictures, and every record."""
