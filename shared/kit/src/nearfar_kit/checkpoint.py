"""Checkpoints: any nest of dictionaries, lists, numbers and tensors, without pickle.

Tensors go into one safetensors file, all else into its header, so that a checkpoint is one file:
it is replaced by a rename, and a run killed at any instant leaves the old one or the new one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError

__all__ = ["load_checkpoint", "save_checkpoint"]

KEY = "nearfar"


def save_checkpoint(path: Path | str, state: dict[str, Any]) -> None:
    """Writes ``state``: dicts (keys str or int), lists, tuples, tensors, str, int, float, bool,
    None."""
    from safetensors.torch import save_file

    path = Path(path)
    tensors: dict[str, Any] = {}
    skeleton = json.dumps(_flatten(state, tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        save_file(tensors, beside, metadata={KEY: skeleton})


def load_checkpoint(path: Path | str) -> dict[str, Any]:
    """The ``state`` that was saved, equal to the last bit.

    Raises:
        UserError: there is none, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such checkpoint; expected one that a run has left")
    try:
        with safe_open(path, framework="pt") as file:
            skeleton = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state: dict[str, Any] = _restore(skeleton, tensors)
    except (
        OSError, SafetensorError, LookupError, ValueError, TypeError, RuntimeError
    ) as error:  # fmt: skip
        raise UserError(f"{path}: is no checkpoint, or a damaged one ({error})") from None
    return state


def _flatten(value: Any, tensors: dict[str, Any]) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        # The order of the axes in memory is kept: an optimizer whose state lies otherwise than its
        # parameters (channels last) goes on with the wrong numbers.
        strides = value.stride()
        order = sorted(range(value.ndim), key=lambda axis: -strides[axis])
        kept = value.detach().permute(order).contiguous()
        tensors[name] = kept.clone()  # safetensors refuses shared memory
        in_order = order == list(range(value.ndim))
        return {"tensor": name} if in_order else {"permuted": [name, order]}
    if isinstance(value, dict):
        # Optimizers number their parameters: JSON keys would turn the numbers into text.
        return {"dict": [[key, _flatten(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_flatten(item, tensors) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _restore(value: Any, tensors: dict[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "permuted":
        name, order = content
        return tensors[name].permute([order.index(axis) for axis in range(len(order))])
    if kind == "dict":
        return {key: _restore(item, tensors) for key, item in content}
    items = [_restore(item, tensors) for item in content]
    return items if kind == "list" else tuple(items)
