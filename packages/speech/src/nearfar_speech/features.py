"""What the encoder's front makes of each clip, kept: it is exact, for nothing in it is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.progress import Progress
from nearfar_speech.audio import read_audio
from nearfar_speech.encoders.encoder import Encoder

__all__ = ["Features"]


class Features:
    """Features of clips by path; those that do not fit in memory are made anew each time.

    Args:
        encoder: whose front makes them.
        mebibytes: of memory to fill.
        known: features that are there already, by path.
    """

    def __init__(
        self, encoder: Encoder, mebibytes: float = 1024, known: Mapping[str, Tensor] | None = None
    ) -> None:
        self.encoder = encoder
        self.kept = dict(known or {})
        self.free = mebibytes * 2**20 - sum(map(_bytes, self.kept.values()))

    def of(self, path: Path | str) -> Tensor:
        """[M, ...] of one clip.

        Raises:
            AudioFault: the file cannot be read.
        """
        path = str(path)
        if path in self.kept:
            return self.kept[path]
        return self.add(path, torch.from_numpy(read_audio(path).samples))

    def add(self, name: str, samples: Tensor) -> Tensor:
        """Features of samples [L] at 16 kHz, to be had by ``name`` from now on."""
        device = next(self.encoder.parameters()).device
        made = self.encoder.front(samples.to(device)).cpu()
        if self.free >= _bytes(made):
            self.kept[name] = made
            self.free -= _bytes(made)
        return made

    def prepare(self, paths: Iterable[Path | str], *, quiet: bool = True) -> None:
        """Makes what is not there yet, as far as memory goes."""
        missing = [path for path in dict.fromkeys(map(str, paths)) if path not in self.kept]
        with Progress("features", len(missing), quiet=quiet or not missing) as bar:
            for path in missing:
                if self.free > 0:
                    self.of(path)
                bar.advance()

    def save(self, path: Path) -> None:
        """Writes what is kept, for :meth:`load`."""
        save_checkpoint(path, {"features": self.kept})

    @classmethod
    def load(cls, path: Path, encoder: Encoder) -> Features:
        return cls(encoder, torch.inf, load_checkpoint(path)["features"])


def _bytes(features: Tensor) -> int:
    return features.nbytes
