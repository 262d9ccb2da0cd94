"""Contrastive losses, exact and in memory linear in the batch.

The functions are in :mod:`nearfar.functional`; here are the same names in CamelCase as modules.
"""

from nearfar import diagnostics, functional, grad_cache, mixing, samplers
from nearfar.batch import Ring
from nearfar.dispatch import loss_path
from nearfar.inputs import NotFiniteError
from nearfar.losses.amcl import AMCL
from nearfar.losses.cacr import CACR
from nearfar.losses.clip import CLIP
from nearfar.losses.contrastive_margin import ContrastiveMargin
from nearfar.losses.dcl import DCL
from nearfar.losses.dclw import DCLW
from nearfar.losses.groco import GroCo
from nearfar.losses.hard_negative import HardNegative
from nearfar.losses.hierarchical_sup_con import HierarchicalSupCon
from nearfar.losses.info_nce import InfoNCE
from nearfar.losses.linear_binary_cross_entropy import LinearBinaryCrossEntropy
from nearfar.losses.linear_cross_entropy import LinearCrossEntropy
from nearfar.losses.matryoshka import Matryoshka
from nearfar.losses.meow import MEOW
from nearfar.losses.mi_mix import MiMix
from nearfar.losses.multi_view import MultiViewWeighted
from nearfar.losses.nspt import NSPT
from nearfar.losses.nt_xent import NTXent
from nearfar.losses.prototypes import MLCD, ProtoNCE
from nearfar.losses.sampled_softmax import SampledSoftmax
from nearfar.losses.siglip import SigLIP
from nearfar.losses.sim_lap import ConditionalGate, SimLAP
from nearfar.losses.soft_targets import SoftTargets
from nearfar.losses.sog_clr import ISogCLR, SogCLR
from nearfar.losses.sup_con import SupCon
from nearfar.losses.sup_remix import SupReMix
from nearfar.losses.swav import SwAV
from nearfar.losses.symile import Symile
from nearfar.losses.uniformity import Alignment, JointEntropy, Uniformity
from nearfar.losses.volumetric import GlobalVolumetric, LocalVolumetric
from nearfar.targets import Factored, Listed, Teacher

__version__ = "0.1.0"

__all__ = [
    "AMCL",
    "CACR",
    "CLIP",
    "DCL",
    "DCLW",
    "MEOW",
    "MLCD",
    "NSPT",
    "Alignment",
    "ConditionalGate",
    "ContrastiveMargin",
    "Factored",
    "GlobalVolumetric",
    "GroCo",
    "HardNegative",
    "HierarchicalSupCon",
    "ISogCLR",
    "InfoNCE",
    "JointEntropy",
    "LinearBinaryCrossEntropy",
    "LinearCrossEntropy",
    "Listed",
    "LocalVolumetric",
    "Matryoshka",
    "MiMix",
    "MultiViewWeighted",
    "NTXent",
    "NotFiniteError",
    "ProtoNCE",
    "Ring",
    "SampledSoftmax",
    "SigLIP",
    "SimLAP",
    "SoftTargets",
    "SogCLR",
    "SupCon",
    "SupReMix",
    "SwAV",
    "Symile",
    "Teacher",
    "Uniformity",
    "diagnostics",
    "functional",
    "grad_cache",
    "loss_path",
    "mixing",
    "samplers",
]
