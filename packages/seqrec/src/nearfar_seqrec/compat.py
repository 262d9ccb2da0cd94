"""What RecBole 1.2.1 needs to run with current NumPy and SciPy.

Two of its faults need no patch here, since the modules they are in are never used:
``recbole.quick_start`` imports a ray that does not import (ray <= 2.6.3 needs ``pkg_resources``,
which setuptools 82 removed, and ``numpy.bool8``, which NumPy 2 removed; RecBole issue 1820), and
``Trainer.evaluate`` loads a pickled checkpoint that torch 2.6 refuses (RecBole issue 2212). Its
``fillna(inplace=True)`` does nothing under pandas 3 (copy-on-write), so pandas is kept below 3.
"""

from __future__ import annotations

from typing import Any

from nearfar_kit.errors import UserError

__all__ = ["ensure_recbole"]


def ensure_recbole() -> None:
    """Makes ``recbole.config``, ``.data``, ``.model`` and ``.utils`` work; to be called on use.

    Changes nothing that is there already.

    Raises:
        UserError: RecBole is not installed.
    """
    _restore_numpy_names()
    _restore_dok_update()
    try:
        _import_without_anomaly_mode()
    except ImportError as error:
        raise UserError(
            f"recbole does not import ({error}); expected 1.2.1 (from Python 3.12 on: pip install "
            "--no-deps recbole==1.2.1, and what the README names beside it)"
        ) from None


def _import_without_anomaly_mode() -> None:
    """``recbole.model.sequential_recommender.sine`` turns anomaly detection on for all of torch.

    Every gradient is then looked through for NaN, which doubles the time of a step. The package
    imports all its models at once, so any of them brings it.
    """
    import torch

    before = torch.is_anomaly_enabled()
    checked = torch.is_anomaly_check_nan_enabled()
    try:
        import recbole.model.sequential_recommender  # noqa: F401
    finally:
        torch.autograd.set_detect_anomaly(before, checked)


def _restore_numpy_names() -> None:
    """``Config`` and the metrics read names that NumPy lacks (RecBole issues 1604, 1714, 2084)."""
    import numpy as np

    kinds = {"float": np.float64, "float_": np.float64, "complex_": np.complex128}
    for name, kind in (kinds | {"unicode_": np.str_}).items():
        if name not in vars(np):
            setattr(np, name, kind)


def _restore_dok_update() -> None:
    """RecBole's graph models call a private method of ``dok_matrix`` that SciPy 1.13 removed."""
    from scipy import sparse

    dok: Any = sparse.dok_matrix
    if not hasattr(dok, "_update"):
        dok._update = lambda matrix, entries: matrix._dict.update(entries)
