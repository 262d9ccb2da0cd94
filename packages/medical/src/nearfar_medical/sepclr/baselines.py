"""What SepCLR is measured against: itself without a term, and SimCLR on the same encoders."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from nearfar.batch import Group
from nearfar.functional import nt_xent
from nearfar_kit.errors import UserError
from nearfar_medical.sepclr.objective import Views
from nearfar_medical.sepclr.settings import SepCLRSettings

__all__ = ["METHODS", "method_settings", "simclr"]

METHODS: dict[str, dict[str, Any]] = {
    "SepCLR": {},
    "no joint": {"joint": 0.0},
    "no infoless": {"infoless": 0.0},
    # Nothing holds the salient space open: only its alignment and the joint entropy are left.
    "no s'-uniformity": {"salient_uniformity": 0.0},
    # Targets repel each other, but not s'.
    "no s' in uniformity": {"repel_constant": False},
    "SimCLR": {"objective": "simclr"},
}


def method_settings(name: str, settings: SepCLRSettings) -> SepCLRSettings:
    """The settings with what the method of that name changes.

    Raises:
        UserError: there is no such method.
    """
    if name not in METHODS:
        raise UserError(f"method {name}: unknown; expected one of {', '.join(METHODS)}")
    return settings.model_copy(update=METHODS[name])


def simclr(
    common: Views, salient: Views, *, temperature: float = 0.5, group: Group = None
) -> dict[str, Tensor]:
    """NT-Xent on either head by itself, all images alike: nothing tells the two spaces apart.

    Chen et al. 2020 (arXiv 2002.05709). The same keys' style as :func:`.objective.separate`.

    Args:
        common, salient: two views each, [N, D] and [N, E].
    """
    terms = {
        "common_nt_xent": nt_xent(*common, temperature=temperature, group=group),
        "salient_nt_xent": nt_xent(*salient, temperature=temperature, group=group),
    }
    terms["total"] = terms["common_nt_xent"] + terms["salient_nt_xent"]
    return terms
