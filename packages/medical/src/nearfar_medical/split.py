"""Splits: who is learned from, with and without labels, and who is tested on. By subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nearfar_kit.errors import UserError
from nearfar_medical.cases import Case, DataSet

__all__ = ["Split", "split_cases"]


@dataclass(frozen=True)
class Split:
    """Cases, by name in each part; no subject is on two sides.

    Attributes:
        training_labelled: cases whose labels are learned from.
        unlabelled: further cases of the training side, whose labels, if any, are not used.
        validation, test: labelled cases.
        aside: cases of subjects of validation and test that have no label: not for pre-training.
    """

    training_labelled: tuple[Case, ...]
    unlabelled: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    aside: tuple[Case, ...] = ()

    @property
    def pretraining(self) -> tuple[Case, ...]:
        """All cases of the training side: a superset of those with labels."""
        return tuple(sorted(self.training_labelled + self.unlabelled, key=lambda c: c.name))


def split_cases(
    dataset: DataSet,
    *,
    labelled: int | None,
    validation: int,
    test: int | float | None,
    seed: int,
) -> Split:
    """Splits a data set by subject, the same way for the same seed and names.

    Where the data set itself has labelled cases for validation or test, they are it, and
    ``validation`` or ``test`` does not count. Cases it keeps for test without labels (as the
    Decathlon does) are set aside. All else is drawn: whole subjects, until their labelled
    volumes are as many as asked for, or more. For one seed, test and validation do not depend on
    ``labelled``, and fewer labelled cases are among more.

    Args:
        labelled: volumes to learn from, exactly; None: all that are left.
        validation: volumes, at least.
        test: volumes, at least; as a float, their share of the labelled ones; None: none, but for
            those of the data set itself.

    Raises:
        UserError: the data set puts one subject on two sides, or has too few labelled volumes.
    """
    sides = _sides(dataset)
    free: dict[str, list[Case]] = {}  # labelled cases, by subject, that may go anywhere
    own: dict[str, list[Case]] = {"validation": [], "test": []}
    for case in dataset.labelled:
        side = sides[case.subject]
        (own[side] if side in own else free.setdefault(case.subject, [])).append(case)
    total = sum(map(len, free.values()))
    if isinstance(test, float):
        if not 0 < test < 1:
            raise UserError(f"test is {test}; expected a share between 0 and 1, or a number")
        test = max(1, round(test * total))
    wanted = {
        "test": 0 if own["test"] else test or 0,
        "validation": 0 if own["validation"] else validation,
    }
    if not dataset.labelled and (any(wanted.values()) or labelled):
        raise UserError(_without_masks(dataset))
    rest = 1 if labelled is None and total else labelled or 0
    for name, number in (*wanted.items(), ("labelled", rest)):
        if number < 0:
            raise UserError(f"{name} is {number}; expected 0 or more")
    asked = (
        f"{dataset.root}: {total} labelled volumes of {len(free)} subjects to draw from; expected "
        f"enough for {wanted['test']} of test, {wanted['validation']} of validation and "
        f"{1 if labelled is None else rest} to learn from"
    )
    order = sorted(free)
    order = [order[n] for n in np.random.default_rng(seed).permutation(len(order))]
    drawn: dict[str, list[Case]] = {}
    for name, number in wanted.items():
        drawn[name] = list(own[name])
        taken = 0
        while taken < number:
            if not order:
                raise UserError(asked)
            subject = order.pop(0)
            sides[subject] = name
            drawn[name] += free[subject]
            taken += len(free[subject])
    left = [case for subject in order for case in free[subject]]
    if len(left) < rest:
        raise UserError(asked)
    learned = left if labelled is None else left[:labelled]
    used = {case.name for case in (*learned, *drawn["validation"], *drawn["test"])}
    others = [case for case in dataset.cases if case.name not in used]
    return Split(
        _sorted(learned),
        _sorted([c for c in others if sides[c.subject] not in own]),
        _sorted(drawn["validation"]),
        _sorted(drawn["test"]),
        _sorted([c for c in others if sides[c.subject] in own]),
    )


def _without_masks(dataset: DataSet) -> str:
    root, above = dataset.root, dataset.root.absolute().parent
    if dataset.layout != "folder":
        return f"{root}: no volume has a mask; expected labelled ones"
    if root.name.startswith("images") and (above / root.name.replace("images", "labels")).is_dir():
        return f"{root}: holds images alone; expected the folder above it, which has labels/ too"
    return f"{root}: no volume has a mask; expected masks in labels/ beside images/"


def _sides(dataset: DataSet) -> dict[str, str]:
    """The side that the data set puts each subject on, "" where it does not tell."""
    sides: dict[str, str] = {}
    first: dict[str, Case] = {}
    for case in dataset.cases:
        sides.setdefault(case.subject, "")
        if case.role is None:
            continue
        other = first.setdefault(case.subject, case)
        if other.role != case.role:
            raise UserError(
                f"{dataset.root}: subject {case.subject} is on two sides, {other.images[0]} for "
                f"{other.role} and {case.images[0]} for {case.role}; expected one"
            )
        sides[case.subject] = case.role
    return sides


def _sorted(cases: list[Case]) -> tuple[Case, ...]:
    return tuple(sorted(cases, key=lambda case: case.name))
