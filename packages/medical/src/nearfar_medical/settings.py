"""All settings of nearfar-medical: how volumes are prepared, what is learned from them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from nearfar_kit.settings import Settings

__all__ = ["PRESETS", "MedicalSettings"]

# What differs from the defaults. ``cpu``: a network and steps for an hour on two cores.
PRESETS: dict[str, dict[str, object]] = {
    "gpu": {},
    "cpu": {"widths": (16, 32, 64, 128), "crop": 0.8, "global_steps": 2000, "local_steps": 500,
            "tuned_steps": 300, "tuned_learning_rate": 2e-3, "local_depth": 1},
}  # fmt: skip


class MedicalSettings(Settings):
    """The paper's settings, Chaitanya et al. 2020, but for sizes that suit small volumes.

    Its own are ``size=[192,192] widths=[16,32,64,128,128,128] global_steps=10001 local_steps=10001
    tuned_steps=10001``. What is None is found from the volumes, see ``geometry``.
    """

    # Volumes. Axes are those of RAS: 0 right, 1 anterior, 2 superior.
    dims: Literal[2, 3] = 2
    slice_axis: Literal[0, 1, 2] | None = None
    size: tuple[int, int] | None = None  # of a slice, rows and columns
    spacing: tuple[float, float] | None = None  # mm within a slice
    thickness: float | None = None  # mm between slices; None: as they are
    depth: int = Field(32, ge=4)  # slices of a patch, with dims=3
    percentiles: tuple[float, float] = (1.0, 99.0)

    # Network.
    widths: tuple[int, ...] = (32, 64, 128, 256, 256)
    norm: Literal["BATCH", "INSTANCE"] = "BATCH"

    # Pre-training.
    global_strategy: Literal["none", "GR", "GD-", "GD", "GD2"] = "GD"
    local_strategy: Literal["none", "LR", "LD"] = "LR"
    parts: int = Field(4, ge=2)
    volumes: int = Field(6, ge=1)  # of a batch, each with an image of every part
    crop: float = Field(100 / 192, gt=0, le=1)
    brightness: float = Field(0.3, ge=0)
    contrast: float = Field(0.3, ge=0, lt=1)
    temperature: float = Field(0.1, gt=0)
    global_steps: int = Field(10_000, ge=1)
    local_steps: int = Field(10_000, ge=1)
    local_depth: int = Field(2, ge=1)  # blocks of the decoder that local contrast trains
    region: int = Field(3, ge=1)
    neighbours: int = Field(5, ge=1)
    learning_rate: float = Field(1e-3, gt=0)

    # Fine-tuning.
    labelled: int | None = Field(None, ge=1)  # volumes to learn from; None: all that have a label
    validation: int = Field(2, ge=1)  # further labelled volumes that choose the best weights
    tuned_steps: int = Field(10_000, ge=1)
    tuned_batch: int = Field(20, ge=2)
    tuned_learning_rate: float = Field(1e-3, gt=0)  # falls to 0 along a half cosine
    encoder_share: float = Field(0.4, gt=0, le=1)  # of that, for an encoder that was pre-trained
    validate_every: int = Field(50, ge=1)
    loss: Literal["dice", "dice_ce"] = "dice_ce"  # per image, or per batch and cross-entropy
    deform: bool = True
    flip: bool = True  # whether left and right may be exchanged
    intensities: bool = True  # brightness +-0.1, contrast +-0.2: other scanners, in fine-tuning
    mixup: bool = False

    @model_validator(mode="after")
    def _fits(self) -> MedicalSettings:
        sides = (*(self.size or ()), *((self.depth,) if self.dims == 3 else ()))
        if len(self.widths) < 3 or any(side % self.halvings for side in sides):
            raise ValueError(
                f"size {self.size}, depth {self.depth}: {len(self.widths)} widths halve an image "
                f"{len(self.widths) - 2} times; expected three widths or more, and multiples of "
                f"{self.halvings}"
            )
        if self.local_depth > len(self.widths) - 2:
            raise ValueError(
                f"local_depth is {self.local_depth}; expected at most {len(self.widths) - 2}"
            )
        if self.local_strategy == "LD" and self.volumes < 2:
            raise ValueError("local_strategy LD compares volumes; expected volumes of 2 or more")
        return self

    @property
    def halvings(self) -> int:
        """By how much the network's last level is smaller than an image."""
        return int(2 ** (len(self.widths) - 2))

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of a slice, or of a patch."""
        if self.size is None:
            raise ValueError("settings have no size; expected those filled for a data set")
        return (self.depth, *self.size) if self.dims == 3 else self.size
