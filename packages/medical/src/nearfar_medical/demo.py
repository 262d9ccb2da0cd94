"""The demo: simulated volumes, one or two of them labelled. Needs no data and no download."""

from __future__ import annotations

from nearfar_kit.checkpoint import load_checkpoint
from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report, end_report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table
from nearfar_medical.bench import plan_of, run_plan
from nearfar_medical.cache import prepared
from nearfar_medical.cases import find_cases
from nearfar_medical.comparison import write_comparison
from nearfar_medical.finetune import Finetuning
from nearfar_medical.frames import save_frames
from nearfar_medical.geometry import filled
from nearfar_medical.network import Network
from nearfar_medical.prepare import Preparation
from nearfar_medical.report import overlay
from nearfar_medical.segment import probabilities
from nearfar_medical.settings import MedicalSettings
from nearfar_medical.simulate import CLASSES, write_simulated
from nearfar_medical.split import split_cases
from nearfar_medical.volume import read_mask, read_volume

__all__ = ["DEMO", "run_demo"]

DEMO = MedicalSettings(
    slice_axis=1, widths=(16, 16, 32, 32), local_strategy="none", local_depth=1, parts=8,
    volumes=4, crop=0.8, global_steps=1500, tuned_steps=200, tuned_batch=16,
    tuned_learning_rate=2e-3, validate_every=40, flip=False,
)  # fmt: skip
METHODS = ("baseline", "G^D")
VOLUMES, TEST, DRAWS = 40, 8, 3


def run_demo(
    run: RunFolder, metrics: Metrics, settings: MedicalSettings, seed: int, quiet: bool
) -> Table:
    """Compares, trains, draws and reports; gives the table of the comparison."""
    folder = run.checkpoint / "simulated"
    if not (folder / "labels" / f"simulated_{VOLUMES - 1:03d}.nii").exists():
        write_simulated(folder, VOLUMES, seed=seed)
    dataset = find_cases(folder)
    split = split_cases(dataset, labelled=None, validation=2, test=TEST, seed=0)
    settings = filled(settings, split.pretraining)
    preparation = Preparation.of(settings)
    cases = [*split.pretraining, *split.validation, *split.test]
    frames = prepared(cases, preparation, CLASSES, None)
    file = run.checkpoint / "frames.safetensors"
    save_frames(file, frames)
    parts = {"pretraining": split.pretraining, "pool": split.training_labelled,
             "validation": split.validation, "test": split.test}  # fmt: skip
    jobs = run.checkpoint / "jobs"
    metrics.add(
        run_plan(
            plan_of(METHODS, (1, 2), DRAWS), file, jobs, settings,
            {part: [case.name for case in of] for part, of in parts.items()}, "simulated", CLASSES,
            processes=2, quiet=quiet,
        )
    )  # fmt: skip
    report = Report(
        "Segmentation of volumes from one or two labels",
        "Global contrast on simulated volumes: what lies in one part of a volume looks like what "
        "lies in that part of the next, whatever the scanner. The simulator is stated in the "
        "package; its figures show that the method works, not how well it does on people.",
    )
    report.section(
        "What is compared",
        f"{VOLUMES} simulated volumes, {TEST} of them never seen in training. All methods get the "
        "same one or two labelled volumes; contrast has seen the others' images before.",
    )
    metrics.write(run.metrics)
    tables = write_comparison(run.path, metrics, report)

    by_name = {frame.name: frame for frame in frames}
    network = Network(settings.dims, 1, len(CLASSES), widths=settings.widths, norm=settings.norm)
    network.take(load_checkpoint(jobs / "GD.safetensors"), 0)
    Finetuning(
        network,
        [by_name[case.name] for case in split.training_labelled[:2]],
        [by_name[case.name] for case in split.validation],
        settings,
        seed=seed,
        pretrained=True,
    ).run()
    report.section("A volume never seen", "Trained with two labelled volumes.")
    case = split.test[0]
    volume, grid = read_volume(case)
    image, _, placement = preparation.apply(volume)
    found = preparation.undo(probabilities(network, image, settings), placement)
    assert case.label is not None
    truth = read_mask(case.label, grid, CLASSES)
    path = run.path / "overlay.png"
    overlay(path, volume, truth, found, CLASSES, settings.slice_axis, title=case.name)
    report.figure(path, "Image, truth, and what was found.")
    end_report(report, run, metrics)
    return tables[0]
