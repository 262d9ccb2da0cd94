"""What the command lines of the nearfar packages have in common."""

__version__ = "0.1.0"
