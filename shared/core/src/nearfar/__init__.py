"""Contrastive losses, exact and in memory linear in the batch.

The functions are in :mod:`nearfar.functional`; here are the same names in CamelCase as modules.
"""

from nearfar.dispatch import loss_path
from nearfar.losses.clip import CLIP
from nearfar.losses.dcl import DCL
from nearfar.losses.info_nce import InfoNCE
from nearfar.losses.multi_view import MultiViewWeighted
from nearfar.losses.nt_xent import NTXent
from nearfar.losses.soft_targets import SoftTargets
from nearfar.losses.sup_con import SupCon
from nearfar.targets import Factored, Listed

__version__ = "0.1.0"

__all__ = [
    "CLIP",
    "DCL",
    "Factored",
    "InfoNCE",
    "Listed",
    "MultiViewWeighted",
    "NTXent",
    "SoftTargets",
    "SupCon",
    "loss_path",
]
