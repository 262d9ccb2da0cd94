"""Hypothesis as the other packages run it: slow machines fail no test."""

from hypothesis import settings

settings.register_profile("nearfar", deadline=None)
settings.load_profile("nearfar")
