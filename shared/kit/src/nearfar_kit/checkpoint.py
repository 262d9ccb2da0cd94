"""Checkpoints: any nest of dictionaries, lists, numbers and tensors, without pickle.

Tensors go into one safetensors file, all else into its header, so that a checkpoint is one file:
it is replaced by a rename, and a run killed at any instant leaves the old one or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError, first_line
from nearfar_kit.settings import in_short

if TYPE_CHECKING:
    from torch import nn

__all__ = ["check_kinds", "load_checkpoint", "model_state", "restored", "save_checkpoint"]

KEY = "nearfar"

M = TypeVar("M", bound="nn.Module")


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
        if not isinstance(state, dict):
            raise TypeError(f"holds a {type(state).__name__}")
    except (
        OSError, SafetensorError, LookupError, ValueError, TypeError, RuntimeError
    ) as error:  # fmt: skip
        raise UserError(f"{path}: is no checkpoint, or a damaged one ({error})") from None
    return state


@contextmanager
def model_state(path: Path | str, format: str) -> Iterator[dict[str, Any]]:
    """The ``state`` of a stranger's model, to make one of; what fails in that is the file's fault.

    Args:
        format: what the state's own ``format`` must say, as "nearfar-har model 1".

    Raises:
        UserError: there is none, it is damaged, of another format, or does not hold together.
    """
    state = load_checkpoint(path)
    if state.get("format") != format:
        found = f"is of format {in_short(state['format'])}" if "format" in state else "is no model"
        raise UserError(f"{path}: {found}; expected {format!r}")
    try:
        yield state
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(f"{path}: is a damaged {format} ({first_line(error)})") from None


def check_kinds(state: Any, **kinds: type | tuple[type, ...]) -> None:
    """Raises TypeError where a part of a ``state`` that a stranger may have made is another kind.

    Example:
        >>> check_kinds({"names": ["a"], "seed": 0}, names=list, seed=int)
    """
    if not isinstance(state, dict):
        raise TypeError(f"a {type(state).__name__} where names should be")
    for name, kind in kinds.items():
        if not isinstance(state.get(name), kind):
            raise TypeError(f"{name} is a {type(state.get(name)).__name__}")


def restored(make: Callable[[], M], state: Any) -> M:
    """The module that ``make`` gives, with the weights of a stranger's ``state``.

    Settings may claim any size: it is made without memory first, and for good where all weights
    are there, of its shapes and finite.

    Raises:
        ValueError: they are not.
    """
    import torch

    with torch.device("meta"):
        shapes = {name: own.shape for name, own in make().state_dict().items()}
    if not isinstance(state, dict) or state.keys() != shapes.keys():
        raise ValueError("has other weights than its settings say")
    for name, shape in shapes.items():
        own = state[name]
        if not isinstance(own, torch.Tensor) or own.shape != shape:
            found = list(own.shape) if isinstance(own, torch.Tensor) else type(own).__name__
            raise ValueError(f"{name} is {found}; expected {list(shape)}")
        if not bool(torch.isfinite(own).all()):
            raise ValueError(f"{name} holds NaN or infinity")
    module = make()
    module.load_state_dict(state)
    return module


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
