"""Readers: a data set's folder or file to a ``Collection``."""
