"""Settings of SepCLR: views, encoders, weights of the terms, optimisation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from nearfar_kit.settings import Settings

__all__ = ["SepCLRSettings"]


class SepCLRSettings(Settings):
    """The settings of MNIST on CIFAR-10, Louiset et al. 2024, but for steps and widths.

    The weights of ``salient`` and ``infoless`` differ by set and by orders of magnitude: 1000 and
    1000 on toys, 1 and 10 on chest X-rays, 1 and 100 on fundus photographs.
    """

    objective: Literal["separate", "attributes", "simclr"] = "separate"
    """SepCLR, SepCLR with known attributes of the targets, or SimCLR on both encoders."""

    # Encoders: two of a kind. Four stages of residual blocks, then a linear map to the dimensions.
    dims: Literal[2, 3] = 2
    """Of an image; ``separate`` sees this and the channels for itself."""
    channels: int = Field(3, ge=1)
    """Of an image."""
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Channels of the encoders' four stages."""
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    """Residual blocks of the four stages."""
    common_dims: int = Field(32, ge=1)
    """Width of the common space."""
    salient_dims: int = Field(32, ge=1)
    """Width of the salient space."""
    hidden: int = Field(128, ge=1)
    """Width of the projectors."""
    stem_stride: int = Field(1, ge=1, le=2)
    """2: a fifth of the time in 3-D."""

    # Images and their views.
    image_size: tuple[int, ...] | None = None
    """Rows, columns[, planes] that images are brought to; null: all are of one size."""
    view_size: tuple[int, ...] | None = None
    """Rows, columns[, planes] of a view; null: the images' own."""
    crop_scale: tuple[float, float] = (0.2, 1.0)
    """Share of the area or volume that a view keeps."""
    flips: tuple[int, ...] = (-1,)
    """Axes turned round in half of the views; [] for sided classes."""
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    """Largest change of brightness, contrast, saturation and hue; of grey images and volumes the
    first two."""
    jitter_chance: float = Field(0.8, ge=0, le=1)
    """Share of views so changed."""
    grey_chance: float = Field(0.2, ge=0, le=1)
    """Share of views of colour images without colour."""

    # The objective.
    temperature: float = Field(0.5, gt=0)
    """Of the Gaussian kernels."""
    common: float = Field(1.0, ge=0)
    """Weight of the common terms."""
    common_uniformity: float = Field(2.0, ge=0)
    """Weight of uniformity against the alignment of the same space."""
    salient: float = Field(1000.0, ge=0)
    """Weight of the salient terms."""
    salient_uniformity: float = Field(2.0, ge=0)
    """Weight of uniformity against the alignment of the same space."""
    repel_constant: bool = True
    """Background rows as s' = 0 in the uniformity of salient rows."""
    infoless: float = Field(1000.0, ge=0)
    """Weight of drawing background's salient rows to 0."""
    joint: float = Field(10.0, ge=0)
    """Weight of the joint entropy, which keeps what is salient out of the common space."""
    attribute_bandwidth: float = Field(0.025, gt=0)
    """Of the kernel over attributes."""
    attribute_temperature: float = Field(0.025, gt=0)
    """Of the kernel that draws background's columns to 0, with attributes."""

    # Optimisation.
    batch: int = Field(512, ge=4)
    """Half background, half target."""
    epochs: int = Field(250, ge=1)
    """Of training, where ``steps`` does not say it."""
    steps: int | None = Field(None, ge=1)
    """Of training; null: what the epochs come to."""
    learning_rate: float = Field(3e-4, gt=0)
    """At its highest."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the rate."""

    @model_validator(mode="after")
    def _fits(self) -> SepCLRSettings:
        if self.batch % 2:
            raise ValueError(f"batch is {self.batch}; expected an even number")
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale is {self.crop_scale}; expected 0 < low <= high <= 1")
        for name in ("image_size", "view_size"):
            size = getattr(self, name)
            if size is not None and len(size) != self.dims:
                raise ValueError(f"{name} is {size}; expected {self.dims} numbers")
        if any(not -self.dims <= axis < 0 for axis in self.flips):
            raise ValueError(f"flips is {self.flips}; expected axes -{self.dims} to -1")
        return self

    def steps_for(self, rows: int) -> int:
        """Steps to take on so many images; an epoch's last batch is dropped if not full."""
        return self.steps or self.epochs * max(1, rows // self.batch)
