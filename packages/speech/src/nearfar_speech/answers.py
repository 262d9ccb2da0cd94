"""What a learner answered after each task, and what is measured of it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Record, split_key
from nearfar_speech.measures import TaskAccuracy, slu_f1, word_error_rate
from nearfar_speech.targets import parse_target

__all__ = ["Answer", "accuracy_of", "read_answers", "records_of", "write_answers"]


@dataclass(frozen=True)
class Answer:
    """One test clip: the task that taught its class, its target string, what was decoded and how
    sure (log probability over the length penalty)."""

    path: str
    task: int
    truth: str
    found: str
    score: float

    @property
    def right(self) -> bool:
        """Whether the intent is."""
        return parse_target(self.truth).intent == parse_target(self.found).intent


def write_answers(path: Path, answers: Sequence[Answer]) -> None:
    """JSON lines."""
    write_atomic(path, "".join(json.dumps(asdict(answer)) + "\n" for answer in answers))


def read_answers(path: Path) -> list[Answer]:
    """What :func:`write_answers` wrote."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [Answer(**json.loads(line)) for line in lines]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: holds no answers ({error})") from None


def accuracy_of(answers: Sequence[Sequence[Answer]]) -> TaskAccuracy:
    """The matrix of intent accuracy; ``answers[t]`` are those after task t."""
    tasks = range(len(answers))
    return TaskAccuracy.of_answers(
        [
            [np.array([a.right for a in row if a.task == j], dtype=np.bool_) for j in tasks]
            for row in answers
        ]
    )


def records_of(
    answers: Sequence[Sequence[Answer]], dataset: str, method: str, seed: int
) -> list[Record]:
    """Everything that is measured after all tasks.

    The matrix as ``intent accuracy`` with the split ``after=t,on=j``; after each task, over all
    clips of classes seen, ``accuracy``, ``word error rate`` and ``slu f1`` with ``after=t``; over
    tasks (``after=all``) the last of these, and, where it was measured after several tasks, their
    means, forgetting and backward transfer.
    """
    matrix = accuracy_of(answers)
    records = []

    def record(split: str, metric: str, value: float, n: int) -> None:
        records.append(Record(dataset, split, method, seed, metric, value, n))

    for (t, j), value in np.ndenumerate(matrix.accuracy):
        if j <= t:
            record(split_key(after=t, on=j), "intent accuracy", float(value), int(matrix.counts[j]))
    errors, scores = [], []
    for t, row in enumerate(answers):
        truth = [parse_target(answer.truth) for answer in row]
        found = [parse_target(answer.found) for answer in row]
        errors.append(word_error_rate([w.transcript for w in truth], [w.transcript for w in found]))
        slots = [w.slots for w in truth]
        scores.append(slu_f1(slots, [w.slots for w in found]).f1 if any(slots) else math.nan)
        for metric, number in (("accuracy", float(matrix.seen[t])), ("word error rate", errors[t]),
                              ("slu f1", scores[t])):  # fmt: skip
            record(split_key(after=t), metric, number, len(row))
    whole = split_key(after="all")
    n = len(answers[-1])
    over_tasks = {
        "average accuracy": matrix.average,
        "last accuracy": matrix.last,
        "forgetting": matrix.forgetting,
        "backward transfer": matrix.backward_transfer,
        "average word error rate": _mean(errors),
        "last word error rate": errors[-1],
        "average slu f1": _mean(scores),
        "last slu f1": scores[-1],
    }
    for metric, number in over_tasks.items():
        if len(answers) > 1 or metric.startswith("last"):
            record(whole, metric, number, n)
    return records


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
