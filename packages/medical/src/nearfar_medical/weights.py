"""Weights that travel: one file of tensors and settings, and what of it fits another network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nearfar_kit.checkpoint import (
    check_kinds,
    load_checkpoint,
    model_state,
    restored,
    save_checkpoint,
)
from nearfar_kit.errors import UserError, first_line
from nearfar_kit.settings import load_settings
from nearfar_medical.network import Network
from nearfar_medical.prepare import Preparation
from nearfar_medical.seen import Seen
from nearfar_medical.settings import MedicalSettings

__all__ = [
    "Match",
    "Model",
    "load_model",
    "load_weights",
    "save_model",
    "seen_by",
    "unet_state",
]

FORMAT = "nearfar-medical model 2"
SHOWN = 3  # names of weights in a line
# What other programs put before the names of a network's weights.
PREFIXES = ("module.", "model.", "net.", "network.", "unet.", "_forward_module.", "_orig_mod.")


@dataclass
class Model:
    """A network and all that its use needs.

    Attributes:
        classes: code in masks -> name, 0 the background; the network's outputs are in the codes'
            order.
        channels: names of the image's channels.
        trained_depth: blocks of the decoder that have been trained, ``depths + 1`` with the last
            layer.
        seen: what it was trained on; None: a model that does not tell.
    """

    network: Network
    settings: MedicalSettings
    classes: dict[int, str]
    channels: tuple[str, ...]
    trained_depth: int
    seen: Seen | None = None

    @classmethod
    def of(
        cls,
        network: Network,
        settings: MedicalSettings,
        classes: dict[int, str],
        depth: int,
        seen: Seen,
    ) -> Model:
        """A network as it is used, its channels by number, as no data set names them."""
        channels = tuple(f"channel {n}" for n in range(network.channels_in))
        return cls(network.cpu().eval(), settings, dict(classes), channels, depth, seen)

    @property
    def pretrained(self) -> bool:
        """Whether it is pre-trained alone, and gives no classes yet."""
        return self.trained_depth <= self.network.depths

    @property
    def preparation(self) -> Preparation:
        """How volumes are brought before it."""
        return Preparation.of(self.settings)


def save_model(path: Path, model: Model) -> None:
    """One safetensors file: the weights, and in its header all else."""
    # Axes and orientation are said, as weights of another order of axes load and do not work.
    save_checkpoint(path, {
        "format": FORMAT,
        **_lies(model.network),
        "settings": model.settings.model_dump(mode="json"),
        "classes": dict(model.classes),
        "channels": list(model.channels),
        "trained_depth": model.trained_depth,
        "network": {"channels_in": model.network.channels_in, "classes": model.network.classes},
        "seen": None if model.seen is None else model.seen.state(),
        "weights": dict(model.network.unet.state_dict()),
    })  # fmt: skip


def load_model(path: Path) -> Model:
    """What :func:`save_model` wrote.

    Raises:
        UserError: no such file, a damaged one, or one of another kind.
    """
    with model_state(path, FORMAT) as kept:
        check_kinds(
            kept, settings=dict, classes=dict, channels=(list, tuple), trained_depth=int,
            network=dict, weights=dict,
        )  # fmt: skip
        check_kinds(kept["network"], channels_in=int, classes=int)
        settings = load_settings(MedicalSettings, base=kept["settings"], where=path)
        if len(settings.widths) > len(kept["weights"]):  # each level has some
            raise ValueError(f"{len(settings.widths)} levels of {len(kept['weights'])} weights")
        weights = {f"unet.{name}": own for name, own in kept["weights"].items()}
        network = restored(
            lambda: Network(
                settings.dims, kept["network"]["channels_in"], kept["network"]["classes"],
                widths=settings.widths, norm=settings.norm,
            ),
            weights,
        )  # fmt: skip
        model = Model(
            network=network.eval(),
            settings=settings,
            classes={int(value): str(name) for value, name in kept["classes"].items()},
            channels=tuple(map(str, kept["channels"])),
            trained_depth=kept["trained_depth"],
            seen=None if kept.get("seen") is None else Seen.from_state(kept["seen"]),
        )
        _check(model, kept)
    return model


def _lies(network: Network) -> dict[str, str]:
    """How what the weights work on lies."""
    axes = "slice, row, column" if network.dims == 3 else "row, column"
    return {"axes": axes, "orientation": "RAS"}


def _check(model: Model, kept: Mapping[str, Any]) -> None:
    """Raises ValueError where parts of a model's file are of different models."""
    network = model.network
    for name, expected in _lies(network).items():
        if kept.get(name) != expected:
            raise ValueError(f"{name} is not {expected!r}")
    if not 0 <= model.trained_depth <= network.depths + 1:
        raise ValueError(f"a trained depth of {model.trained_depth}")
    own = len(model.classes), len(model.channels)
    # What was pre-trained on images alone knows no classes yet, though its last layer has some.
    classes = {network.classes, 0} if model.pretrained else {network.classes}
    if own[0] not in classes or own[1] != network.channels_in:
        raise ValueError(f"{own} classes and channels for a network of others")
    _ = model.preparation


@dataclass(frozen=True)
class Match:
    """Which weights of a file went where.

    Attributes:
        taken: names in the network that were filled.
        other_shape: names on both sides whose shapes differ.
        missing: names of the network that the file has not.
        unused: names of the file that the network has not.
    """

    taken: tuple[str, ...]
    other_shape: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        told = f"{len(self.taken)} weights taken"
        for names, how in (
            (self.other_shape, "of another shape there, which begin anew"),
            (self.missing, "missing there, which begin anew"),
            (self.unused, "unused"),
        ):
            if names:
                rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                told += f"; {len(names)} {how}: {', '.join(names[:SHOWN])}{rest}"
        return told


def seen_by(path: Path) -> Seen | None:
    """What the weights of a file were trained on; None: it is no model of ours that tells."""
    try:
        return load_model(path).seen
    except UserError:
        return None


def load_weights(network: nn.Module, path: Path) -> Match:
    """Fills what fits of a network from a file of weights, and says what did not.

    Reads a model of :func:`save_model`, a safetensors file, or a file of ``torch.save``, of which
    nothing but tensors is loaded. Prefixes that other programs put before names are seen through.

    Raises:
        UserError: the file cannot be read, or none of its weights fits.
    """
    state = _read(path)
    own = network.state_dict()
    best: dict[str, Tensor] = {}
    for stripped in _readings(state):
        if len(stripped.keys() & own.keys()) > len(best.keys() & own.keys()):
            best = stripped
    same = [name for name in own if name in best]
    taken = [name for name in same if best[name].shape == own[name].shape]
    if not taken:
        shown = next(iter(state), "nothing")
        raise UserError(
            f"{path}: none of its {len(state)} weights fits the network's {len(own)}; it has names "
            f"as {shown!r}, expected as {next(iter(own))!r}"
        )
    network.load_state_dict(own | {name: best[name] for name in taken})
    return Match(
        taken=tuple(taken),
        other_shape=tuple(name for name in same if best[name].shape != own[name].shape),
        missing=tuple(name for name in own if name not in best),
        unused=tuple(name for name in best if name not in own),
    )


def unet_state(model: Model) -> dict[str, Tensor]:
    """The weights by the names of a plain ``monai.networks.nets.UNet(**network.recipe())``."""
    return dict(model.network.unet.state_dict())


def _read(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise UserError(f"{path}: no such file of weights")
    if path.suffix == ".safetensors":
        try:
            kept: Any = load_checkpoint(path)
        except UserError:
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                kept = load_file(path)
            except (SafetensorError, OSError) as error:
                raise UserError(f"{path}: is no safetensors file ({error})") from None
    else:
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a file of a stranger brings about
            text = first_line(error)
            raise UserError(f"{path}: holds more than tensors, or is damaged ({text})") from None
    for key in ("weights", "state_dict", "model", "network_weights"):
        if isinstance(kept, Mapping) and isinstance(kept.get(key), Mapping):
            kept = kept[key]
    found = {k: v for k, v in kept.items() if isinstance(v, Tensor)} if isinstance(
        kept, Mapping) else {}  # fmt: skip
    if not found:
        raise UserError(f"{path}: holds no weights; expected names and tensors")
    return found


def _readings(state: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The state with none, one, two and more prefixes off all names, and with one put before."""
    readings = [
        {added + name: value for name, value in state.items()}
        for added in ("", "unet.", "model.", "unet.model.")
    ]
    now = dict(state)
    while True:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in now)), None)
        if prefix is None:
            return readings
        now = {name.removeprefix(prefix): value for name, value in now.items()}
        readings.append(now)
        readings.append({f"unet.{name}": value for name, value in now.items()})
