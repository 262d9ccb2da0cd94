"""Pretext tasks: what an encoder learns from without labels. One task a file."""

from __future__ import annotations

from nearfar_har.pretext.autoencoder import Autoencoder
from nearfar_har.pretext.colossl import ColloSSL
from nearfar_har.pretext.cpc import CPC
from nearfar_har.pretext.cross_device import CrossDevice
from nearfar_har.pretext.multitask import MultiTask
from nearfar_har.pretext.simclr import SimCLR
from nearfar_har.pretext.task import Pretext

__all__ = [
    "CPC",
    "PRETEXTS",
    "Autoencoder",
    "ColloSSL",
    "CrossDevice",
    "MultiTask",
    "Pretext",
    "SimCLR",
]

PRETEXTS: dict[str, type[Pretext]] = {
    "colossl": ColloSSL,
    "cross_device": CrossDevice,
    "simclr": SimCLR,
    "multitask": MultiTask,
    "autoencoder": Autoencoder,
    "cpc": CPC,
}
