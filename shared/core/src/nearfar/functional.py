"""All losses as functions: ``import nearfar.functional as F``."""

from nearfar.losses.clip import clip
from nearfar.losses.dcl import dcl
from nearfar.losses.info_nce import info_nce
from nearfar.losses.multi_view import multi_view_weighted
from nearfar.losses.nt_xent import nt_xent
from nearfar.losses.soft_targets import soft_targets
from nearfar.losses.sup_con import sup_con

__all__ = [
    "clip",
    "dcl",
    "info_nce",
    "multi_view_weighted",
    "nt_xent",
    "soft_targets",
    "sup_con",
]
