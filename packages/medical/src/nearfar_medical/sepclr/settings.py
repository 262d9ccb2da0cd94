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

    # Encoders: two of a kind. Four stages of residual blocks, then a linear map to the dimensions.
    dims: Literal[2, 3] = 2  # of an image; ``separate`` sees this and the channels for itself
    channels: int = Field(3, ge=1)
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    common_dims: int = Field(32, ge=1)
    salient_dims: int = Field(32, ge=1)
    hidden: int = Field(128, ge=1)  # of the projectors
    stem_stride: int = Field(1, ge=1, le=2)  # 2: a fifth of the time in 3-D

    # Images and their views.
    image_size: tuple[int, ...] | None = None  # rows, columns[, planes]; None: all are of one size
    view_size: tuple[int, ...] | None = None  # rows, columns[, planes]; None: the images' own
    crop_scale: tuple[float, float] = (0.2, 1.0)  # share of the area or volume that is kept
    flips: tuple[int, ...] = (-1,)  # axes turned round in half of the views; () for sided classes
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    jitter_chance: float = Field(0.8, ge=0, le=1)
    grey_chance: float = Field(0.2, ge=0, le=1)

    # The objective.
    temperature: float = Field(0.5, gt=0)
    common: float = Field(1.0, ge=0)
    common_uniformity: float = Field(2.0, ge=0)  # against the alignment of the same space
    salient: float = Field(1000.0, ge=0)
    salient_uniformity: float = Field(2.0, ge=0)
    repel_constant: bool = True  # background rows as s' = 0 in the uniformity of salient rows
    infoless: float = Field(1000.0, ge=0)
    joint: float = Field(10.0, ge=0)
    attribute_bandwidth: float = Field(0.025, gt=0)
    attribute_temperature: float = Field(0.025, gt=0)

    # Optimisation.
    batch: int = Field(512, ge=4)  # half background, half target
    epochs: int = Field(250, ge=1)
    steps: int | None = Field(None, ge=1)  # None: what the epochs come to
    learning_rate: float = Field(3e-4, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"

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
