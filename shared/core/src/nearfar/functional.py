"""All losses as functions: ``import nearfar.functional as F``."""

from nearfar.losses.cacr import cacr
from nearfar.losses.clip import clip
from nearfar.losses.contrastive_margin import contrastive_margin
from nearfar.losses.dcl import dcl
from nearfar.losses.dclw import dclw
from nearfar.losses.groco import groco
from nearfar.losses.hard_negative import hard_negative
from nearfar.losses.hierarchical_sup_con import hierarchical_sup_con
from nearfar.losses.info_nce import info_nce
from nearfar.losses.linear_binary_cross_entropy import linear_binary_cross_entropy
from nearfar.losses.linear_cross_entropy import linear_cross_entropy
from nearfar.losses.meow import meow
from nearfar.losses.mi_mix import mi_mix
from nearfar.losses.multi_view import multi_view_weighted
from nearfar.losses.nspt import nspt
from nearfar.losses.nt_xent import nt_xent
from nearfar.losses.prototypes import concentration, mlcd, proto_nce
from nearfar.losses.sampled_softmax import sampled_softmax
from nearfar.losses.siglip import siglip
from nearfar.losses.sim_lap import sim_lap
from nearfar.losses.soft_targets import soft_targets
from nearfar.losses.sup_con import sup_con
from nearfar.losses.sup_remix import sup_remix
from nearfar.losses.swav import swav
from nearfar.losses.symile import symile
from nearfar.losses.uniformity import alignment, joint_entropy, uniformity
from nearfar.losses.volumetric import global_volumetric, local_volumetric

__all__ = [
    "alignment",
    "cacr",
    "clip",
    "concentration",
    "contrastive_margin",
    "dcl",
    "dclw",
    "global_volumetric",
    "groco",
    "hard_negative",
    "hierarchical_sup_con",
    "info_nce",
    "joint_entropy",
    "linear_binary_cross_entropy",
    "linear_cross_entropy",
    "local_volumetric",
    "meow",
    "mi_mix",
    "mlcd",
    "multi_view_weighted",
    "nspt",
    "nt_xent",
    "proto_nce",
    "sampled_softmax",
    "siglip",
    "sim_lap",
    "soft_targets",
    "sup_con",
    "sup_remix",
    "swav",
    "symile",
    "uniformity",
]
