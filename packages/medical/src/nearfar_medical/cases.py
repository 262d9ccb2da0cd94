"""Cases: a volume's files, whose they are, and what a data set says of them."""

from __future__ import annotations

import inspect
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nearfar_kit.errors import UserError
from nearfar_kit.frames import as_text, read_frame
from nearfar_kit.layouts import layout_of

__all__ = [
    "ENDINGS",
    "Case",
    "DataSet",
    "Role",
    "case_name",
    "find_cases",
    "nifti_files",
    "stem_of",
    "subject_of",
]

Role = Literal["training", "validation", "test"]

ENDINGS = (".nii.gz", ".nii")

# In the name of a file on any system, or in what else a name is put into (a shell's or a terminal's
# marks, a picture's formulas).
_UNSAFE = re.compile(r"[^\w.+\- (),&'#~]")
_BIDS = re.compile(r"(sub-[^\W_]+)(_|$)")
_SESSION = re.compile(r"(.+?)[ _-](?:frame|ses|session|visit|scan|run|time|tp)[ _-]?\d+$", re.I)


@dataclass(frozen=True)
class Case:
    """One volume, as files.

    Attributes:
        name: unique in its data set, and fit for the name of a file.
        subject: whose volume it is; no split parts the volumes of one subject.
        images: one file a channel, or one file, of a single or of several channels.
        label: the mask's file, or None.
        role: what the data set itself assigns the case to, or None.
    """

    name: str
    subject: str
    images: tuple[Path, ...]
    label: Path | None = None
    role: Role | None = None

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or _UNSAFE.search(self.name):
            raise ValueError(f"a case's name is {self.name!r}; expected one fit for a file")
        if not self.images:
            raise ValueError(f"case {self.name} has no image; expected a file or more")


@dataclass(frozen=True)
class DataSet:
    """Cases, by name.

    Attributes:
        classes: code in the masks -> name, 0 the background; empty where the layout does not
            tell.
        layout: a name of ``layouts.LAYOUTS``.
        root: the folder.
        notes: lines of what a user should know of how the cases were read.

    Raises:
        UserError: there is no case, or two have one name.
    """

    cases: tuple[Case, ...]
    classes: dict[int, str]
    layout: str
    root: Path
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.cases:
            raise UserError(f"{self.root}: holds no volume; expected .nii or .nii.gz files")
        object.__setattr__(self, "cases", tuple(sorted(self.cases, key=lambda c: c.name)))
        # Not every file system tells a from A, and results are files by these names.
        first: dict[str, Case] = {}
        for case in self.cases:
            other = first.setdefault(case.name.lower(), case)
            if other is not case:
                raise UserError(
                    f"{case.images[0]}: has the name {case.name!r} like {other.images[0]}; "
                    "expected another name for each case"
                )

    @property
    def labelled(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.label is not None)


def stem_of(path: Path) -> str:
    """The file's name without .nii or .nii.gz.

    Example:
        >>> stem_of(Path("imagesTr/la_007.nii.gz"))
        'la_007'
    """
    for ending in ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def case_name(text: str) -> str:
    """``text`` made fit for the name of a file; most are.

    Example:
        >>> case_name("Müller A (2)"), case_name("site 2/case:7")
        ('Müller A (2)', 'site 2_case_7')
    """
    # A Mac writes ü as u and a mark in names of files, and as one letter in tables.
    return _UNSAFE.sub("_", unicodedata.normalize("NFC", text)).strip().lstrip(".") or "_"


def subject_of(name: str) -> str:
    """Whose volume it is, as far as its name tells; else the name itself.

    Example:
        >>> subject_of("sub-01_ses-2_T1w"), subject_of("patient007_frame12"), subject_of("la_007")
        ('sub-01', 'patient007', 'la_007')
    """
    if match := _BIDS.match(name):
        return match[1]
    # As many endings as there are: patient007_ses-1_run-2.
    while match := _SESSION.match(name):
        name = match[1]
    return name


def nifti_files(folder: Path) -> list[Path]:
    """The NIfTI files of a folder, sorted; hidden ones (macOS leaves ``._name``) do not count."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(ENDINGS) and not path.name.startswith(".") and path.is_file()
    )


def find_cases(
    path: Path | str,
    layout: str | None = None,
    *,
    subjects: Path | None = None,
    labels: bool = True,
    **options: Any,
) -> DataSet:
    """The cases of a data set in any known layout.

    Args:
        path: a folder, a Decathlon or MONAI JSON file, or one NIfTI file.
        layout: a name of ``layouts.LAYOUTS``; None: the first that fits what lies at ``path``.
        subjects: table with columns ``case,subject``, which says whose a case is where
            names do not tell; a row may name a subject, too, and then renames it.
        labels: False takes every case as unlabelled, and asks no choice among masks.
        options: the layout's own: ``image_suffix`` of BIDS, ``label_suffix`` of BIDS and folders,
            the folder ``root`` that a JSON file's paths begin at.

    Raises:
        UserError: nothing fits, an unknown layout or option, or a fault in the data.
    """
    from nearfar_medical.layouts import LAYOUTS  # they make cases, and import this

    path = Path(path)
    given = {name: value for name, value in options.items() if value is not None}
    reader = layout_of(LAYOUTS, path, layout, given).reader
    if not labels and "labels" in inspect.signature(reader).parameters:
        given["labels"] = False
    found = reader(path, **given)
    if not labels:
        found = replace(found, cases=tuple(replace(c, label=None) for c in found.cases))
    return found if subjects is None else _with_subjects(found, Path(subjects))


def _with_subjects(dataset: DataSet, path: Path) -> DataSet:
    names = {case.name for case in dataset.cases}
    owners = {case.subject for case in dataset.cases}
    frame = read_frame(path)
    frame = frame.rename({name: name.strip() for name in frame.columns})
    if not {"case", "subject"} <= set(frame.columns):
        raise UserError(f"{path}: columns are {frame.columns}; expected case and subject")
    told: dict[str, str] = {}
    texts = as_text(frame, path, "case", "subject").select("case", "subject")
    for row, values in enumerate(texts.iter_rows(), 1):
        case, subject = ((value or "").strip() for value in values)
        where = f"{path}, row {row}"
        known = case if case in owners else case_name(case)
        if known not in names and known not in owners:
            example = f"a name like {dataset.cases[0].name}"
            raise UserError(f"{where}: no case {case!r} in {dataset.root}; {example}")
        if not subject:
            raise UserError(f"{where}: no subject for {case!r}; expected a name")
        if told.setdefault(known, subject) != subject:
            raise UserError(f"{where}: {case!r} is of {subject!r}, but of {told[known]!r} before")
    cases = [
        replace(c, subject=told.get(c.name, told.get(c.subject, c.subject))) for c in dataset.cases
    ]
    bare = [c.name for c in dataset.cases if c.name not in told and c.subject not in told]
    note = (
        f"{path}: {len(bare)} of {len(cases)} cases have no entry, such as {bare[0]}; each is of "
        "the subject that its name tells"
    ) if bare else None  # fmt: skip
    return replace(dataset, cases=tuple(cases), notes=dataset.notes + ((note,) if note else ()))
