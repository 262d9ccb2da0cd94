"""The page, tables and plots of one trained curriculum, from its answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nearfar_kit import plots
from nearfar_kit.metrics import Metrics, Record, parse_split
from nearfar_kit.report import Report, end_report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Cell, Table, summarise
from nearfar_speech.answers import Answer, accuracy_of, records_of
from nearfar_speech.prepare import Prepared
from nearfar_speech.targets import parse_target

__all__ = ["write_run_report", "write_untested_report"]

_WORDS = (
    "Average accuracy is the mean, over the tasks, of the accuracy on all classes seen so far; "
    "last accuracy is that after the last task. Backward transfer is the mean, over all tasks but "
    "the last, of a task's accuracy at the end less that right after it was learnt: below 0, it "
    "was forgotten. Forgetting is the same against the best that a task had before the last one "
    "was learnt, and its sign is the other way round."
)
_CLASSES_DRAWN = 40  # a confusion matrix of more cannot be read


def write_run_report(
    run: RunFolder,
    metrics: Metrics,
    answers: Sequence[Sequence[Answer]],
    dataset: str,
    method: str,
    seed: int,
    *,
    title: str,
    subtitle: str,
    on: str,
    prepared: Prepared | None = None,
) -> Table:
    """``metrics.json``, plots and ``report.html``; gives the table of what was measured.

    Args:
        on: a sentence that tells on which clips.
        prepared: the curriculum that was learnt, to show.
    """
    records = records_of(answers, dataset, method, seed)
    metrics.records = records
    metrics.write(run.metrics)
    report = Report(title, subtitle)
    report.section("What was measured", on)
    table = _table(records, dataset)
    report.table(table)
    if prepared is not None:
        report.section("The tasks")
        report.table(_tasks(prepared))
    if len(answers) > 1:
        report.section("Task after task", _WORDS)
        names = [f"task {task + 1}" for task in range(len(answers))]
        seen = [summarise([float(value)]) for value in accuracy_of(answers).seen]
        path = plots.lines(
            run.path / "accuracy_over_tasks.png", list(range(1, len(seen) + 1)), {method: seen},
            title="Classes seen so far", x_label="tasks learnt", y_label="intent accuracy",
            ticks=[str(n + 1) for n in range(len(seen))],
        )  # fmt: skip
        report.figure(path, "Intent accuracy on all classes seen so far, after each task.")
        path = plots.heatmap(
            run.path / "accuracy_matrix.png", accuracy_of(answers).accuracy, names,
            title="Accuracy after each task (row)\non each task's clips (column)",
        )  # fmt: skip
        report.figure(path, "Intent accuracy: what is lost down a column is forgotten.")
    confused = _confusion(run.path / "confusion.png", answers[-1])
    if confused is not None:
        report.figure(confused, "Intents after the last task; 'other' is none of these.")
    end_report(report, run, metrics)
    return table


def _table(records: Sequence[Record], dataset: str) -> Table:
    whole = [r for r in records if parse_split(r.split) == {"after": "all"}]
    rows: list[list[Cell | str]] = [
        [r.metric, summarise([r.value])] for r in whole if not np.isnan(r.value)
    ]
    return Table(f"{dataset}: {whole[0].n} clips after the last task.", ["measure", "value"], rows)


def write_untested_report(
    run: RunFolder, metrics: Metrics, prepared: Prepared, dataset: str
) -> None:
    """The page of a training of which no clip was held out."""
    report = Report(
        "Intents learnt task after task", f"{len(prepared.curriculum)} tasks of {dataset}."
    )
    report.section("The tasks", "No clip was held out, so nothing was tested.")
    report.table(_tasks(prepared))
    end_report(report, run, metrics)


def _tasks(prepared: Prepared) -> Table:
    splits = ("train", "valid", "test")
    rows = [
        [
            f"task {task + 1}", ", ".join(names),
            *(str(len(prepared.of(split, task))) for split in splits),
        ]
        for task, names in enumerate(prepared.curriculum.tasks)
    ]  # fmt: skip
    return Table(
        f"What each task teaches, and its clips; {prepared.left_out} more were left out, which "
        "could not be read or were too long.",
        ["", prepared.curriculum.by, "trained on", "to validate", "to test"],
        rows,
    )


def _confusion(path: Path, answers: Sequence[Answer]) -> Path | None:
    truth = [parse_target(answer.truth).intent for answer in answers]
    names = sorted(set(truth))
    if not 1 < len(names) <= _CLASSES_DRAWN:
        return None
    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names) + 1, len(names) + 1), dtype=np.int64)
    for answer, own in zip(answers, truth, strict=True):
        counts[place[own], place.get(parse_target(answer.found).intent, len(names))] += 1
    return plots.confusion_matrix(path, counts, [*names, "other"], title="Intents")
