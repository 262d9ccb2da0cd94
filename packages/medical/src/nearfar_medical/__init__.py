"""Segmentation of volumes from few labels, by global and local contrast, and SepCLR."""

__version__ = "0.1.0"
