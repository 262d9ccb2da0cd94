"""One loss a file: the function, a few lines over the core operation, and its module."""
