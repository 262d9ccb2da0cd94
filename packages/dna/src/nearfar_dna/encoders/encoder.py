"""What every encoder is: sequences to numbers, layers that can be stopped between, rows out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from nearfar_dna.alphabet import Codes

__all__ = ["Encoder", "Hidden", "encode"]


@dataclass(frozen=True)
class Hidden:
    """What layers hand on.

    Attributes:
        values: [N, F], or [N, T, F] of tokens. mask: [N, T], true where there is a token; or None.
    """

    values: Tensor
    mask: Tensor | None = None


class Encoder(nn.Module):
    """An encoder in parts, so that samples can be mixed between any two layers.

    Attributes:
        layers: each takes and gives a :class:`Hidden`. width: of the rows that come out.
        batch: sequences that are well embedded at once.
    """

    layers: nn.ModuleList
    width: int
    batch: int = 64

    @abstractmethod
    def prepare(self, sequences: Sequence[Codes]) -> Tensor:
        """What :meth:`begin` takes, on the CPU: [N, ...]. Nothing is learnt here."""

    @abstractmethod
    def begin(self, prepared: Tensor) -> Hidden:
        """The input of the first layer."""

    @abstractmethod
    def end(self, hidden: Hidden) -> Tensor:
        """Rows [N, width] of the last layer's output."""


def encode(
    encoder: Encoder,
    prepared: Tensor,
    mix_at: int | None = None,
    mix: Callable[[Hidden], Hidden] | None = None,
) -> Tensor:
    """Rows [N, width]; ``mix`` changes what layer ``mix_at`` takes."""
    hidden = encoder.begin(prepared)
    for number, layer in enumerate(encoder.layers):
        if mix is not None and number == mix_at:
            hidden = mix(hidden)
        hidden = layer(hidden)
    return encoder.end(hidden)
