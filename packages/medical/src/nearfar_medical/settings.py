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
    """Slice by slice, or in patches of ``depth`` slices."""
    slice_axis: Literal[0, 1, 2] | None = None
    """Axis across which slices lie: 0 right, 1 anterior, 2 superior; null: across the thickest
    voxels, else the longest side."""
    size: tuple[int, int] | None = None
    """Rows and columns of a slice; null: found from the volumes."""
    spacing: tuple[float, float] | None = None
    """Millimetres within a slice; null: found from the volumes."""
    thickness: float | None = None
    """Millimetres between slices; null: as they are."""
    depth: int = Field(32, ge=4)
    """Slices of a patch, with ``dims=3``."""
    percentiles: tuple[float, float] = (1.0, 99.0)
    """Of a volume's intensities, which become 0 and 1."""

    # Network.
    widths: tuple[int, ...] = (32, 64, 128, 256, 256)
    """Channels of the network's levels."""
    norm: Literal["BATCH", "INSTANCE"] = "BATCH"
    """Of batches or of instances."""

    # Pre-training.
    global_strategy: Literal["none", "GR", "GD-", "GD", "GD2"] = "GD"
    """Two augmentations of a slice are alike and all else repels (GR); slices of one part do not
    repel (GD-); those of two volumes are alike (GD), with two augmentations (GD2)."""
    local_strategy: Literal["none", "LR", "LD"] = "LR"
    """Which regions are alike: those of two augmentations (LR), or of one part in two volumes
    (LD)."""
    parts: int = Field(4, ge=2)
    """Into which volumes are divided along the slice axis."""
    volumes: int = Field(6, ge=1)
    """Of a batch, each with an image of every part."""
    crop: float = Field(100 / 192, gt=0, le=1)
    """Share of the sides that a random crop keeps."""
    brightness: float = Field(0.3, ge=0)
    """Largest random shift of intensities in pre-training."""
    contrast: float = Field(0.3, ge=0, lt=1)
    """Largest random change of contrast in pre-training."""
    temperature: float = Field(0.1, gt=0)
    """Of both contrasts."""
    global_steps: int = Field(10_000, ge=1)
    """Of global contrast."""
    local_steps: int = Field(10_000, ge=1)
    """Of local contrast."""
    local_depth: int = Field(2, ge=1)
    """Blocks of the decoder that local contrast trains."""
    region: int = Field(3, ge=1)
    """Side of a region, in pixels of the feature map."""
    neighbours: int = Field(5, ge=1)
    """Regions that repel each region."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of pre-training."""

    # Fine-tuning.
    labelled: int | None = Field(None, ge=1)
    """Volumes to learn from; null: all that have a label."""
    validation: int = Field(2, ge=1)
    """Further labelled volumes that choose the best weights."""
    tuned_steps: int = Field(10_000, ge=1)
    """Of fine-tuning."""
    tuned_batch: int = Field(20, ge=2)
    """Images of a batch in fine-tuning."""
    tuned_learning_rate: float = Field(1e-3, gt=0)
    """Of fine-tuning; falls to 0 along a half cosine."""
    encoder_share: float = Field(0.4, gt=0, le=1)
    """Share of that rate for an encoder that was pre-trained."""
    validate_every: int = Field(50, ge=1)
    """Steps between two looks at the validation volumes."""
    loss: Literal["dice", "dice_ce"] = "dice_ce"
    """Dice an image, or over the batch with cross-entropy."""
    deform: bool = True
    """Whether labelled images are deformed at random."""
    flip: bool = True
    """Whether left and right may be exchanged; not where classes have a side."""
    intensities: bool = True
    """Brightness ±0.1 and contrast ±0.2 at random in fine-tuning: other scanners."""
    mixup: bool = False
    """Whether labelled images are mixed two by two."""

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
    def pretrains(self) -> bool:
        """Whether there is any contrast."""
        return (self.global_strategy, self.local_strategy) != ("none", "none")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of a slice, or of a patch."""
        if self.size is None:
            raise ValueError("settings have no size; expected those filled for a data set")
        return (self.depth, *self.size) if self.dims == 3 else self.size
