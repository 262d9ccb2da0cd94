"""All settings of nearfar-newdomain."""

from __future__ import annotations

from pydantic import Field

from nearfar_kit.settings import Settings

__all__ = ["NewDomainSettings"]


class NewDomainSettings(Settings):
    """A linear encoder trained by NT-Xent."""

    width: int = Field(16, ge=1)
    """Of the embedding."""
    temperature: float = Field(0.2, gt=0)
    """Of the contrast."""
    batch: int = Field(128, ge=2)
    """Things of a batch."""
    steps: int = Field(300, ge=1)
    """Of training."""
    learning_rate: float = Field(1e-2, gt=0)
    """Of Adam."""
