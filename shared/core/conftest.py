"""Kernels are interpreted where there is no GPU.

Triton reads this once, when it is first imported, and collecting doctests imports the kernels: it
stands above both sources and tests.
"""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
