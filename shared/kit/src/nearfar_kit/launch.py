"""Where a run computes: one device, or one process a device under torchrun."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Literal

from nearfar_kit.errors import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Device", "describe_device", "launch"]

Device = Literal["auto", "cpu", "cuda"]


def launch(device: Device = "auto") -> Fabric:
    """A launched Fabric: one process, or, started by torchrun, one of its DDP processes.

    Raises:
        UserError: cuda is asked for where there is none.
    """
    import torch
    from lightning_fabric import Fabric

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no CUDA device is visible; expected one, or --device cpu")
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", "1")),
        strategy="ddp" if several else "auto",
    )
    fabric.launch()
    return fabric


def describe_device(device: Device = "auto") -> str:
    """What ``metrics.json`` calls the device, such as ``cpu (x86_64, 2 cores)``."""
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name()})"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"cpu ({platform.machine()}, {cores} cores)"
