"""Image sets: which there are, where they lie, and how their files are decoded."""
