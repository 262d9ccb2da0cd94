"""Clips kept from earlier tasks: paths and targets, not samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError

__all__ = ["Memory", "RehearsalBuffer", "Selection", "closest_to_mean", "herding", "quota_of"]

Selection = Literal["random", "herding", "closest"]
_SCHEMA = 1


@dataclass(frozen=True)
class Memory:
    """One clip kept: where its audio is, what it means, and the class whose quota it fills."""

    path: str
    target: str
    label: str


def quota_of(size: float, classes: int, clips: int) -> int:
    """Clips a class of a buffer of ``size`` in all, shared evenly among the classes of all tasks.

    Args:
        size: clips in all; below 1 a share of the ``clips`` of the training set, rounded, and at
            least one clip a class.

    Raises:
        UserError: the buffer is larger than the data, or is told in clips and has none for each
            class.

    Example:
        >>> quota_of(930, 31, 23_132), quota_of(0.01, 31, 23_132), quota_of(0.01, 2, 11)
        (30, 7, 1)
    """
    if not (size >= 0 and classes > 0):  # a NaN is refused too
        raise UserError(f"memory: {size} clips for {classes} classes; expected 0 or more for some")
    whole = int(size) if size >= 1 else max(round(size * clips), classes if size else 0)
    if whole > clips:
        raise UserError(f"memory: a buffer of {whole} clips; the training set has {clips}")
    if size and whole < classes:
        raise UserError(
            f"memory: {whole} clips of {clips} for {classes} classes; expected {classes} or more, "
            "one a class"
        )
    return whole // classes


class RehearsalBuffer:
    """A fixed quota of clips a class, filled once at the end of the task that taught the class.

    What is chosen for a class depends on its own clips, the selection and the seed alone: a task
    added later chooses as if it had been in the curriculum.

    Args:
        quota: clips a class, 0 for none; a class with fewer is kept whole.
        selection: ``random``; ``herding`` (iCaRL, Rebuffi et al. 2017, 1611.07725); ``closest`` to
            the class mean.
        seed: of the random choice.
    """

    def __init__(self, quota: int, selection: Selection = "herding", seed: int = 0) -> None:
        if quota < 0:
            raise UserError(f"memory: a quota of {quota} clips a class; expected 0 or more")
        if selection not in ("random", "herding", "closest"):
            raise UserError(f"selection is {selection!r}; expected random, herding or closest")
        self.quota, self.selection, self.seed = quota, selection, seed
        self.memories: list[Memory] = []

    def __len__(self) -> int:
        return len(self.memories)

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes it has clips of, in the order of learning."""
        return tuple(dict.fromkeys(memory.label for memory in self.memories))

    def add(self, clips: Sequence[Memory], features: NDArray[Any] | None = None) -> list[Memory]:
        """Chooses of the clips of a task that was learnt; gives what was chosen.

        Args:
            features: [N, D], a row a clip, for herding and closest: encoder features averaged over
                time; used as they are.

        Raises:
            ValueError: features are absent where needed, of another length, or not finite.
            UserError: a class is in the buffer already.
        """
        if self.selection != "random":
            if features is None:
                raise ValueError(f"selection {self.selection} needs features [N, D]; got none")
            features = np.asarray(features, dtype=np.float64)
            if features.ndim != 2 or len(features) != len(clips):
                raise ValueError(f"features are {features.shape}; expected [{len(clips)}, D]")
            if not np.isfinite(features).all():
                raise ValueError("features hold values that are not finite; expected numbers")
        known, chosen = set(self.labels), []
        for label in dict.fromkeys(clip.label for clip in clips):
            if label in known:
                raise UserError(f"memory: class {label!r} is kept already; expected new classes")
            rows = np.array([i for i, clip in enumerate(clips) if clip.label == label])
            own = None if features is None else features[rows]
            chosen += [clips[row] for row in rows[self._pick(label, len(rows), own)]]
        self.memories += chosen
        return chosen

    def _pick(self, label: str, clips: int, features: NDArray[Any] | None) -> NDArray[np.int64]:
        count = min(self.quota, clips)
        if self.selection == "random" or features is None:
            draw = np.random.default_rng([self.seed, crc32(label.encode())])
            return np.sort(draw.permutation(clips)[:count])
        return (herding if self.selection == "herding" else closest_to_mean)(features, count)

    def save(self, path: Path | str) -> None:
        """Writes JSON, a memory a line."""
        head = {"schema": _SCHEMA, "quota": self.quota, "selection": self.selection,
                "seed": self.seed}  # fmt: skip
        lines = ",\n".join(f"  {json.dumps(asdict(memory))}" for memory in self.memories)
        first = json.dumps(head)[:-1]
        write_atomic(Path(path), f'{first}, "memories": [\n{lines}\n]}}\n')

    @classmethod
    def load(cls, path: Path | str) -> RehearsalBuffer:
        """What :meth:`save` wrote; UserError where the file is something else."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["schema"] != _SCHEMA:
                raise ValueError(f"schema is {content['schema']!r}")
            buffer = cls(content["quota"], content["selection"], content["seed"])
            buffer.memories = [Memory(**memory) for memory in content["memories"]]
            if not all(isinstance(v, str) for m in buffer.memories for v in asdict(m).values()):
                raise ValueError("a memory holds something other than text")
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{path}: is no buffer of schema {_SCHEMA} ({error})") from None
        return buffer


def herding(features: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Rows [count] of [N, D], in order, each bringing the mean of those chosen nearest to the mean
    of all (iCaRL, Rebuffi et al. 2017, algorithm 4).

    Example:
        >>> herding(np.array([[0.0], [4.0], [1.0], [3.0]]), 2)
        array([2, 3])
    """
    mean, total = features.mean(axis=0), np.zeros(features.shape[1])
    free, chosen = np.ones(len(features), dtype=bool), []
    for number in range(1, min(count, len(features)) + 1):
        distance = np.linalg.norm((total + features) / number - mean, axis=1)
        chosen.append(int(np.where(free, distance, np.inf).argmin()))
        total += features[chosen[-1]]
        free[chosen[-1]] = False
    return np.array(chosen, dtype=np.int64)


def closest_to_mean(features: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Rows [count] of [N, D] nearest to the mean of all, the nearest first."""
    distance = np.linalg.norm(features - features.mean(axis=0), axis=1)
    return np.argsort(distance, kind="stable")[:count].astype(np.int64)
