"""Training of a named network by a recipe: same seed, same batches, same weights."""
