"""What a learner that goes from task to task has kept, and how well it understood."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearfar_speech.clip import Slots

__all__ = ["SluScore", "TaskAccuracy", "edits", "slu_f1", "word_error_rate"]


@dataclass(frozen=True)
class TaskAccuracy:
    """Accuracy after each task on each task's test clips, with any class of those seen as answer.

    Attributes:
        accuracy: [T, T]; row t after training task t, column j on the clips of task j. NaN above
            the diagonal, for those tasks are still to come, and where a task has no test clip.
        counts: [T], test clips of each task.
    """

    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        tasks = len(self.counts)
        if not tasks or self.accuracy.shape != (tasks, tasks):
            raise ValueError(
                f"accuracy is {self.accuracy.shape}; expected [{tasks}, {tasks}], T>=1"
            )
        if (self.counts < 0).any():
            raise ValueError("counts are below 0; expected test clips of each task")
        due = np.tril(np.ones((tasks, tasks), dtype=bool)) & (self.counts > 0)
        if not ((self.accuracy >= 0) & (self.accuracy <= 1))[due].all():
            raise ValueError("accuracy is not within 0 to 1 after a task that was learnt")

    @classmethod
    def of_answers(cls, correct: Sequence[Sequence[NDArray[np.bool_]]]) -> TaskAccuracy:
        """From answers: ``correct[t][j]`` booleans [n_j], the clips of task j <= t after task t."""
        tasks = len(correct)
        accuracy = np.full((tasks, tasks), np.nan)
        for t, row in enumerate(correct):
            for j, answers in enumerate(row[: t + 1]):
                accuracy[t, j] = np.mean(answers) if len(answers) else np.nan
        return cls(accuracy, np.array([len(correct[-1][j]) for j in range(tasks)], dtype=np.int64))

    @property
    def seen(self) -> NDArray[np.float64]:
        """[T], accuracy after each task over all clips of the classes seen, each clip counting
        alike; NaN where there are none."""
        weights = np.tril(np.broadcast_to(self.counts, self.accuracy.shape)).astype(np.float64)
        right = np.where(weights > 0, self.accuracy * weights, 0.0).sum(axis=1)
        total = weights.sum(axis=1)
        share = np.full(len(total), np.nan)
        np.divide(right, total, out=share, where=total > 0)
        return share

    @property
    def average(self) -> float:
        """Mean of :attr:`seen` over tasks: Avg Acc (Cappellazzo et al. 2023)."""
        return _mean(self.seen)

    @property
    def last(self) -> float:
        """The last of :attr:`seen`: Last Acc."""
        return float(self.seen[-1])

    @property
    def forgetting(self) -> float:
        """Mean over all tasks but the last of what was lost since each one's best, the last row not
        being a candidate (Chaudhry et al. 2018, 1801.10112). Below 0 where later tasks helped; NaN
        with one task; tasks without test clips are left out."""
        lost = [self.accuracy[j:-1, j].max() - self.accuracy[-1, j] for j in self._earlier]
        return _mean(np.array(lost))

    @property
    def backward_transfer(self) -> float:
        """Mean over all tasks but the last of what was gained since each one's own row (Lopez-Paz
        and Ranzato 2017, 1706.08840). NaN as for :attr:`forgetting`."""
        gained = [self.accuracy[-1, j] - self.accuracy[j, j] for j in self._earlier]
        return _mean(np.array(gained))

    @property
    def _earlier(self) -> list[int]:
        return [j for j in range(len(self.counts) - 1) if self.counts[j]]


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Insertions, deletions and substitutions between two sequences of words or of characters."""
    from nearfar_speech.harness import accumulatable_wer_stats

    counts = accumulatable_wer_stats([reference], [hypothesis], Counter())
    return int(counts["insertions"] + counts["deletions"] + counts["substitutions"])


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Edits over all sentences as a share of all words of the references; above 1 where much was
    inserted. NaN where the references hold no word. Case and punctuation count.

    Raises:
        ValueError: not as many hypotheses as references.
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references and {len(hypotheses)} hypotheses")
    pairs = [(r.split(), h.split()) for r, h in zip(references, hypotheses, strict=True)]
    words = sum(len(reference) for reference, _ in pairs)
    return sum(edits(*pair) for pair in pairs) / words if words else math.nan


@dataclass(frozen=True)
class SluScore:
    """SLU-F1 and its parts: NaN for precision without predicted slots, for recall without gold
    ones, for F1 without either; 0 where there are some and none agree."""

    precision: float
    recall: float
    f1: float
    true_positives: float
    false_positives: float
    false_negatives: float


def slu_f1(gold: Sequence[Slots], predicted: Sequence[Slots]) -> SluScore:
    """SLURP's F1 of slots, in which a nearly right filler nearly counts (Bastianelli et al. 2020,
    2011.13205).

    In each clip a predicted slot whose type is among the gold ones not yet taken takes the nearest
    filler of them: one true positive, and d false positives and d false negatives. Else it is a
    false positive; gold slots that nothing took are false negatives. Counts are made once with d
    the word error rate of the filler and once with d the edits between characters over the longer
    filler's length, and both are added up before F1 is taken.

    Predicted slots take in their own order; of equally near fillers the first is taken. Case
    counts.

    Args:
        gold, predicted: (type, filler) pairs of each clip.

    Raises:
        ValueError: not as many predicted as gold.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} clips of gold slots and {len(predicted)} of predicted ones")
    hit = over = under = 0.0
    for distance in (_word_distance, _character_distance):
        for truth, claimed in zip(gold, predicted, strict=True):
            free = list(truth)
            for kind, filler in claimed:
                near = [
                    (distance(other, filler), i) for i, (k, other) in enumerate(free) if k == kind
                ]
                if not near:
                    over += 1
                    continue
                least, place = min(near)
                hit, over, under = hit + 1, over + least, under + least
                del free[place]
            under += len(free)
    precision = hit / (hit + over) if hit + over else math.nan
    recall = hit / (hit + under) if hit + under else math.nan
    whole = 2 * hit + over + under
    return SluScore(precision, recall, 2 * hit / whole if whole else math.nan, hit, over, under)


def _word_distance(gold: str, predicted: str) -> float:
    words = gold.split()
    return edits(words, predicted.split()) / max(1, len(words))


def _character_distance(gold: str, predicted: str) -> float:
    return edits(gold, predicted) / max(1, len(gold), len(predicted))
