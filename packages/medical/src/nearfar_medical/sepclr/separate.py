"""``separate``: what two populations of images have in common, and what the targets have alone.

Trains both encoders, embeds every image, and probes both spaces on subjects held out.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nearfar_kit import plots
from nearfar_kit.atomic import replacing
from nearfar_kit.checkpoint import check_kinds, model_state, restored, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Metrics, Record, split_key
from nearfar_kit.report import Report, end_report
from nearfar_kit.run import RunFolder
from nearfar_kit.settings import load_settings, preset_values
from nearfar_kit.spreadsheet import harmless
from nearfar_kit.table import Table
from nearfar_kit.work import carry_out
from nearfar_medical.sepclr.encoders import TwoEncoders, make_encoders
from nearfar_medical.sepclr.pairs import (
    Pairs,
    first_image,
    pairs_from_csv,
    pairs_from_folders,
    read_image,
)  # fmt: skip
from nearfar_medical.sepclr.probes import (
    Cell,
    check_attributes,
    delta_tot,
    probe_population,
    probe_spaces,
    represent,
)  # fmt: skip
from nearfar_medical.sepclr.settings import SepCLRSettings
from nearfar_medical.sepclr.train import Separation, check_pairs

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["PRESETS", "load_encoders", "read_pairs", "save_encoders", "separate", "sides"]

FORMAT = "nearfar-medical encoders 1"
# A narrow network of one block a stage and small batches, for a few minutes on two cores; so few
# steps want a higher learning rate that decays.
PRESETS: dict[str, dict[str, object]] = {
    "gpu": {},
    "cpu": {"widths": (8, 16, 32, 64), "blocks": (1, 1, 1, 1), "batch": 128, "steps": 600,
            "learning_rate": 2e-3, "schedule": "cosine"},
}  # fmt: skip


def read_pairs(
    background: Path,
    target: Path,
    *,
    preset: str,
    config: Path | None,
    overrides: Sequence[str],
    salient: Sequence[str] = (),
    common: Sequence[str] = (),
    measures: Sequence[str] = (),
) -> tuple[Pairs, SepCLRSettings]:
    """The images of two folders or two CSV lists, and settings that fit them.

    Args:
        salient, common: columns of the lists that are read from the spaces; those of ``measures``
            as numbers, the others as classes.

    Raises:
        UserError: no such preset, a faulty image or list, or settings that do not fit.
    """
    preset_settings = preset_values(PRESETS, preset)
    named = [*salient, *common]
    if stray := [name for name in measures if name not in named]:
        raise UserError(f"--measure {stray[0]}: expected one of --salient or --common")
    lists = [path.suffix.lower() == ".csv" for path in (background, target)]
    if lists[0] != lists[1]:
        raise UserError(f"{background}, {target}: expected two folders or two CSV lists")
    if named and not lists[0]:
        raise UserError(f"{background}: is a folder; expected a CSV list with column {named[0]}")
    dims = read_image(first_image(background)).ndim - 1
    base: dict[str, object] = {"dims": dims, **preset_settings}
    if dims == 3:
        base["flips"] = ()  # the left of a body is not its right
    settings = load_settings(SepCLRSettings, config, overrides, base=base)
    if lists[0]:
        pairs = pairs_from_csv(
            background, target, size=settings.image_size, measures=measures,
            classes=[name for name in named if name not in measures],
        )  # fmt: skip
    else:
        pairs = pairs_from_folders(background, target, size=settings.image_size)
    return pairs, settings.model_copy(update={"channels": pairs.images.shape[1]})


def sides(
    pairs: Pairs,
    settings: SepCLRSettings,
    seed: int,
    *,
    test: float,
    salient: Sequence[str] = (),
    common: Sequence[str] = (),
) -> tuple[Pairs, Pairs]:
    """The images to learn from and those held out, with all that is asked of them afterwards.

    Raises:
        UserError: too few subjects, or an attribute that could not be read from the spaces, which
            else were found out after the training.
    """
    known, held_out = pairs.split(test, seed)
    check_attributes(known, held_out, [*salient, *common])
    check_pairs(settings, known, salient if settings.objective == "attributes" else ())
    return known, held_out


def separate(
    run: RunFolder,
    metrics: Metrics,
    known: Pairs,
    held_out: Pairs,
    settings: SepCLRSettings,
    seed: int,
    *,
    salient: Sequence[str] = (),
    common: Sequence[str] = (),
    dataset: str = "images",
    fabric: Fabric | None = None,
    quiet: bool = True,
) -> Table | None:
    """Trains, embeds, probes and reports; gives the table, on the first of several processes.

    Leaves ``checkpoint/model.safetensors``, ``common.npy`` and ``salient.npy`` with a row an image,
    whose order ``images.csv`` tells, a picture of each space, and the report.

    Args:
        known, held_out: as :func:`sides` gives them.
    """
    attributes = salient if settings.objective == "attributes" else ()
    work = Separation(settings, known, seed=seed, attributes=attributes, fabric=fabric)
    names = known.sources or [str(n) for n in range(len(known))]
    carry_out(work, work.steps, "separation", {"seed": seed, "images": names}, run, quiet=quiet)
    if fabric is not None and not fabric.is_global_zero:
        return None
    encoders = work.encoders.eval()
    save_encoders(run.checkpoint / "model.safetensors", encoders, settings)

    spaces = represent(encoders, known), represent(encoders, held_out)
    heads = represent(encoders, known, head=True), represent(encoders, held_out, head=True)
    cells = probe_spaces(known, spaces[0], held_out, spaces[1], salient=salient, common=common)
    population = probe_population(known, heads[0], held_out, heads[1])
    _write_embeddings(run.path, [(known, spaces[0], "train"), (held_out, spaces[1], "test")])
    metrics.add(_records([*population, *cells], dataset, settings.objective, seed))
    table = _table([*population, *cells], f"{len(held_out)} images of subjects held out")
    report = Report(
        "What two populations share, and what the targets have alone",
        "Linear probes on subjects held out. A perfect separation reads salient attributes from "
        "the salient space alone and common ones from the common space alone. Not a medical "
        "device: for research alone.",
    )
    report.section("What each space tells")
    report.table(table)
    kinds = held_out.is_target.numpy().astype(int)
    for space in ("common", "salient"):
        picture = plots.scatter_by_class(
            run.path / f"{space}.png", _plane(heads[1][space]), kinds,
            ["background", "target"], title=f"{space} space, images held out",
        )  # fmt: skip
        report.figure(picture, f"The two directions of most spread in the {space} space.")
    report.section(
        "How the objective ended",
        "; ".join(f"{name} {value:.4g}" for name, value in work.terms.items()),
    )
    end_report(report, run, metrics)
    return table


def save_encoders(path: Path, encoders: TwoEncoders, settings: SepCLRSettings) -> None:
    """One safetensors file: the weights, and in its header the settings."""
    save_checkpoint(path, {
        "format": FORMAT,
        "axes": "right, anterior, superior" if settings.dims == 3 else "row, column",
        "settings": settings.model_dump(mode="json"),
        "weights": {name: tensor.contiguous() for name, tensor in encoders.state_dict().items()},
    })  # fmt: skip


def load_encoders(path: Path) -> tuple[TwoEncoders, SepCLRSettings]:
    """What :func:`save_encoders` wrote.

    Raises:
        UserError: no such file, a damaged one, or one of another kind.
    """
    with model_state(path, FORMAT) as kept:
        check_kinds(kept, settings=dict, weights=dict)
        settings = load_settings(SepCLRSettings, base=kept["settings"], where=path)
        encoders = restored(lambda: make_encoders(settings, 0), kept["weights"])
    return encoders.eval(), settings


def _write_embeddings(
    folder: Path, parts: Sequence[tuple[Pairs, dict[str, NDArray[np.float32]], str]]
) -> None:
    """``common.npy``, ``salient.npy`` [N, D] and ``images.csv``, a row each an image."""
    for space in ("common", "salient"):
        with replacing(folder / f"{space}.npy") as beside, beside.open("wb") as file:
            np.save(file, np.concatenate([spaces[space] for _, spaces, _ in parts]))
    with (
        replacing(folder / "images.csv") as beside,
        beside.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        names = list(parts[0][0].attributes)
        writer.writerow(["image", "population", "part", *names])
        for pairs, _, part in parts:
            for n in range(len(pairs)):
                writer.writerow([
                    harmless(str(pairs.sources[n])) if pairs.sources else n,
                    "target" if pairs.is_target[n] else "background",
                    part,
                    *(harmless(str(pairs.attributes[name][n])) for name in names),
                ])  # fmt: skip


def _records(cells: Sequence[Cell], dataset: str, method: str, seed: int) -> list[Record]:
    return [
        Record(
            dataset, split_key(space=cell.space, attribute=cell.attribute), method, seed,
            cell.metric, cell.value, cell.rows,
        )
        for cell in cells
    ]  # fmt: skip


def _table(cells: Sequence[Cell], where: str) -> Table:
    rows = [
        [c.space, c.attribute, c.metric.replace("_", " "), f"{c.value:.3f}", f"{c.ideal:.3f}",
         f"{c.distance:.3f}"]
        for c in cells
    ]  # fmt: skip
    rows.append(["sum", "", "", "", "", f"{delta_tot(cells):.3f}"])
    return Table(
        f"{where}: what linear probes read.",
        ["space", "attribute", "metric", "obtained", "ideal", "distance"],
        rows,
    )


def _plane(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """[N, D] -> [N, 2], the two directions of most spread."""
    centred = x.astype(np.float64) - x.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    plane = centred @ axes[:2].T
    return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
