"""What ``nearfar doctor`` tells."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterator

__all__ = ["findings"]


def findings() -> Iterator[tuple[str, str]]:
    """(what, found) pairs: versions, devices, the losses' path, what is missing."""
    import torch

    import nearfar

    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    yield "torch", f"{torch.__version__}, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            yield f"cuda:{number}", torch.cuda.get_device_name(number)
    elif torch.version.cuda:
        yield "cuda", f"this torch is built for CUDA {torch.version.cuda}, but no device is visible"
    else:
        yield "cuda", "this torch is a CPU build; a CUDA build is needed to use a GPU"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    yield "loss path", f"{nearfar.loss_path(device)} on {device}"
    if importlib.util.find_spec("triton") is None:
        yield "triton", "not installed (optional)"
    else:
        yield "triton", importlib.metadata.version("triton")
    for distribution in sorted(
        {d.metadata["Name"] for d in importlib.metadata.distributions()} - {None}
    ):
        if distribution == "nearfar" or distribution.startswith("nearfar-"):
            yield distribution, importlib.metadata.version(distribution)
