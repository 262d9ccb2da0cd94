"""Kernels are interpreted where there is no GPU.

Triton reads this once, when it is first imported, and collecting doctests imports the kernels: it
stands above both sources and tests.
"""

import os
from importlib.util import find_spec

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Tables and plots of the benchmark are made with nearfar-kit, which a bare GPU machine lacks.
collect_ignore = [] if find_spec("nearfar_kit") else ["benchmarks/render.py"]
