"""The Medical Segmentation Decathlon's dataset.json, which MONAI's data lists follow."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from nearfar_kit.errors import UserError
from nearfar_kit.json_files import read_json
from nearfar_kit.paths import inside
from nearfar_medical.cases import Case, DataSet, Role, case_name, stem_of, subject_of
from nearfar_medical.codes import LARGEST, MOST

__all__ = ["class_names", "file_inside", "is_decathlon", "read_decathlon", "read_object"]

_ROLES: tuple[Role, ...] = ("training", "validation", "test")


def is_decathlon(path: Path) -> bool:
    """A JSON file, or a folder with a dataset.json that lists cases."""
    if path.is_file():
        return path.suffix.lower() == ".json"
    file = path / "dataset.json"
    if not file.is_file():
        return False
    return any(isinstance(read_object(file).get(role), list) for role in _ROLES)


def read_decathlon(path: Path, root: Path | None = None) -> DataSet:
    """Cases of the lists ``training``, ``validation`` and ``test``.

    An entry is ``{"image": file or files, "label": file}`` or the image's file alone; without a
    label it is unlabelled.

    Args:
        root: folder that the paths begin at; None: the JSON file's own.

    Raises:
        UserError: a fault in the JSON file, a path that leaves the folder, a missing file.
    """
    file = path / "dataset.json" if path.is_dir() else path
    root = file.parent if root is None else Path(root)
    content = read_object(file)
    lists = {role: content[role] for role in _ROLES if role in content}
    if not lists:
        raise UserError(f"{file}: has no list of cases; expected one of {', '.join(_ROLES)}")
    found: list[tuple[Role, tuple[Path, ...], Path | None]] = []
    for role, entries in lists.items():
        if not isinstance(entries, list):
            raise UserError(f"{file}: {role} is no list; expected a list of cases")
        for number, entry in enumerate(entries):
            found.append((role, *_files(root, entry, f"{file}: {role}[{number}]")))
    # Where every case has its own folder (BRATS_001/flair.nii.gz) the names of files repeat.
    stems = [case_name(stem_of(images[0])) for _, images, _ in found]
    if max(Counter(stem.lower() for stem in stems).values(), default=0) > 1:
        inner = [Path(os.path.relpath(images[0], root)) for _, images, _ in found]
        stems = [case_name("-".join((*p.parent.parts, stem_of(p)))) for p in inner]
    cases = tuple(
        Case(name, subject_of(name), images, label, role)
        for name, (role, images, label) in zip(stems, found, strict=True)
    )
    return DataSet(cases, class_names(content.get("labels"), file), "decathlon", root)


def _files(root: Path, entry: Any, where: str) -> tuple[tuple[Path, ...], Path | None]:
    if isinstance(entry, str):
        entry = {"image": entry}
    if not isinstance(entry, dict) or "image" not in entry:
        raise UserError(f'{where} is {_short(entry)}; expected {{"image": ..., "label": ...}}')
    images = entry["image"] if isinstance(entry["image"], list) else [entry["image"]]
    if not images:
        raise UserError(f"{where}, image: no file; expected one or more")
    label = entry.get("label")
    if isinstance(label, list):
        if len(label) != 1:
            raise UserError(f"{where}, label: {len(label)} files; expected one mask")
        label = label[0]
    return (
        tuple(file_inside(root, text, f"{where}, image") for text in images),
        None if label is None else file_inside(root, label, f"{where}, label"),
    )


def file_inside(root: Path, text: Any, where: str) -> Path:
    """The file that a stranger's description names, which must lie in the data set's folder.

    Links are followed: who has put a data set together of links wants them read.
    """
    path = inside(root, text, where)
    if not os.path.isfile(path):  # no error of a name that is too long
        raise UserError(f"{where}: {text!r}: no such file in {root}")
    return path


def read_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    content = read_json(file)
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds {_short(content)}; expected an object")
    return content


def class_names(labels: Any, file: Path) -> dict[int, str]:
    """``labels``, value -> name as in the Decathlon or name -> value as in nnU-Net v2, by value.

    Raises:
        UserError: regions (several values a name), an ignored value, or too many classes.

    Example:
        >>> class_names({"background": 0, "cord": 1}, Path("dataset.json"))
        {0: 'background', 1: 'cord'}
        >>> class_names({"1": "cord"}, Path("dataset.json"))
        {0: 'background', 1: 'cord'}
    """
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise UserError(f"{file}: labels is {_short(labels)}; expected values and names")
    found: dict[int, str] = {}
    for key, other in labels.items():
        if isinstance(other, list):
            raise UserError(
                f"{file}: label {key!r} is the region {_short(other)}; expected one value a class: "
                "regions are not supported"
            )
        value, name = (key, other) if isinstance(other, str) and not _is_value(other) else (
            other, key
        )  # fmt: skip
        if not _is_value(value):
            raise UserError(f"{file}: label {key!r} is {_short(other)}; expected 0 to {LARGEST}")
        if not name.isprintable() or not name.strip():
            raise UserError(f"{file}: label {name!r}; expected a name")
        if name == "ignore":
            raise UserError(f"{file}: label 'ignore' is not supported; expected masks without it")
        if int(value) in found:
            raise UserError(f"{file}: labels {found[int(value)]!r} and {name!r} are both {value}")
        found[int(value)] = name
    found.setdefault(0, "background")
    if len(found) > MOST:
        raise UserError(f"{file}: {len(found)} labels; expected at most {MOST}")
    return dict(sorted(found.items()))


def _is_value(text: Any) -> bool:
    if isinstance(text, str):
        return text.isdecimal() and text.isascii() and len(text) <= 5 and int(text) <= LARGEST
    return isinstance(text, int) and not isinstance(text, bool) and 0 <= text <= LARGEST


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
