"""The generated files of docs/: the picture of the method and the model zoo."""
