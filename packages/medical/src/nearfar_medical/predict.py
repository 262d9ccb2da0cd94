"""A trained model on files: masks on each file's own voxels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.progress import Progress
from nearfar_medical.cases import Case, DataSet
from nearfar_medical.codes import to_codes
from nearfar_medical.scores import Score, score_case
from nearfar_medical.segment import probabilities
from nearfar_medical.volume import Grid, Volume, read_mask, read_volume, write_mask
from nearfar_medical.weights import Model

__all__ = ["predict_case", "score_labelled", "segment_cases"]


def predict_case(model: Model, case: Case) -> tuple[NDArray[np.integer], Volume, Grid]:
    """The mask [X, Y, Z] of codes in RAS of one case, its volume and its file's grid.

    Raises:
        UserError: a fault in the file, or another number of channels than was trained with.
    """
    volume, grid = read_volume(case)
    if len(volume.image) != len(model.channels):
        raise UserError(
            f"{case.images[0]}: {len(volume.image)} channels; expected {len(model.channels)}, as "
            "the model was trained with"
        )
    image, _, placement = model.preparation.apply(volume)
    found = probabilities(model.network, image, model.settings)
    return to_codes(model.preparation.undo(found, placement), model.classes), volume, grid


def score_labelled(model: Model, case: Case) -> list[Score]:
    """What a model finds in a labelled case against its mask, a score a structure."""
    assert case.label is not None
    found, volume, grid = predict_case(model, case)
    truth = read_mask(case.label, grid, model.classes)
    return score_case(case.name, case.subject, found, truth, volume.spacing, model.classes)


def segment_cases(model: Model, dataset: DataSet, out: Path, *, quiet: bool = True) -> list[Path]:
    """Writes a mask for each case; gives the files.

    A BIDS data set's masks are a derivative of it: the same tree, with a description of its own.

    Raises:
        UserError: ``out`` has a mask of one of these names already.
    """
    paths = list(_paths(dataset, out))
    for path in paths:
        if path.exists():
            raise UserError(f"{path}: is there already; expected an --out without it")
    if dataset.layout == "bids":
        about = {
            "Name": "nearfar-medical segmentation",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "nearfar-medical"}],
        }
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "dataset_description.json", json.dumps(about, indent=1) + "\n")
    with Progress("segment", len(paths), quiet=quiet) as bar:
        for case, path in zip(dataset.cases, paths, strict=True):
            mask, _, grid = predict_case(model, case)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mask(path, mask, grid)
            bar.advance(last=case.name)
    return paths


def _paths(dataset: DataSet, out: Path) -> Iterator[Path]:
    for case in dataset.cases:
        if dataset.layout != "bids":
            yield out / f"{case.name}.nii.gz"
            continue
        inside = case.images[0].resolve().parent.relative_to(dataset.root.resolve())
        entities = case.name.rsplit("_", 1)[0]  # without the suffix of the image's kind
        yield out / inside / f"{entities}_desc-nearfar_dseg.nii.gz"
