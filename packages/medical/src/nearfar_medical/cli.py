"""``nearfar-medical``: demo, simulate, pretrain, train, segment, evaluate, export, bench."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nearfar_kit.bench import (
    Methods,
    Processes,
    ProfileName,
    methods_of,
    processes_of,
    profile_of,
    usable,
)  # fmt: skip
from nearfar_kit.command import (
    Config,
    Data,
    DeviceOption,
    Out,
    Overrides,
    Quiet,
    Resume,
    Seed,
    new_app,
    run_app,
    tell,
)  # fmt: skip
from nearfar_kit.errors import UserError
from nearfar_kit.layouts import data_sets, set_name
from nearfar_kit.run import model_of
from nearfar_kit.settings import load_settings, preset_values
from nearfar_kit.verb import begin, device_of, end, simulated
from nearfar_medical.settings import PRESETS, MedicalSettings

if TYPE_CHECKING:
    from nearfar_medical.split import Split

app = new_app("Segmentation of volumes from few labels, by global and local contrast.")

Layout = Annotated[
    str | None,
    typer.Option("--layout", help="folder, decathlon, nnunet or bids; else found by its look."),
]
Suffix = Annotated[
    str | None,
    typer.Option(
        "--label-suffix", help="Which mask of several, in BIDS; how masks' names end, in a folder."
    ),
]
ImageSuffix = Annotated[
    str | None, typer.Option("--image-suffix", help="Which image of several, as T1w, in BIDS.")
]
Subjects = Annotated[
    Path | None, typer.Option("--subjects", help="CSV of case,subject where names don't tell.")
]
ModelOption = Annotated[
    Path, typer.Option("--model", help="Run folder of train, or its model.safetensors.")
]

Preset = Annotated[
    str | None, typer.Option("--preset", help="cpu (small) or gpu (the paper's); else gpu.")
]

TOLD = ("monai", "nibabel", "numpy")  # packages whose versions metrics.json has

# torch and MONAI take seconds to import: each verb imports what it needs, so that --help and a
# mistake in the call answer at once.


@app.command()
def demo(
    out: Out = Path("runs/demo-medical"),
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Two minutes on simulated volumes: contrast against labels alone, and a report."""
    from nearfar_medical.demo import DEMO, run_demo

    settings = load_settings(MedicalSettings, config, overrides or [], base=DEMO.model_dump())
    run, metrics = begin("medical", "demo", out, settings, seed=seed, resume=resume, packages=TOLD)
    table = run_demo(run, metrics, settings, seed, quiet)
    Console().print(table.terminal())
    end(run)


@app.command()
def simulate(out: Out = Path("runs/volumes"), seed: Seed = 0) -> None:
    """Simulated volumes as NIfTI files, to try the other verbs on."""
    from nearfar_medical.simulate import write_simulated

    # Few enough steps for a minute or two on two cores.
    then = "nearfar medical train --data {} --out runs/medical --preset cpu --set global_steps=200"
    simulated(write_simulated, out, seed, then)


@app.command()
def pretrain(
    data: Data,
    out: Out = Path("runs/medical-pretrained"),
    layout: Layout = None,
    image_suffix: ImageSuffix = None,
    subjects: Subjects = None,
    preset: Preset = None,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Learn from volumes alone, no label needed; train --weights RUN begins with what it leaves."""
    settings = _settings(preset, config, overrides)
    from nearfar_kit.launch import launch
    from nearfar_medical.begun import check_volumes, keep_volumes
    from nearfar_medical.geometry import filled
    from nearfar_medical.prepare import Preparation
    from nearfar_medical.seen import Seen
    from nearfar_medical.train import Lesson, new_network
    from nearfar_medical.train import pretrain as contrast

    fabric = launch(device_of(device))
    dataset = _cases(data, layout, subjects=subjects, image_suffix=image_suffix, labels=False)
    settings = filled(settings, dataset.cases)
    run, _ = begin(
        "medical", "pretrain", out, settings, device=device, seed=seed, resume=resume, packages=TOLD
    )
    parts = {"learned from": dataset.cases}
    check_volumes(run, parts)
    preparation = Preparation.of(settings)
    frames = _frames(dataset.cases, preparation, {}, run, quiet)
    keep_volumes(run, parts)
    _warn_of_parts(frames, settings)
    network = new_network(settings, frames[0].image.shape[0], 2, seed).to(fabric.device)
    if not quiet:
        small = _small(preset, config, overrides, settings)
        _tell_time(network, Lesson(tuple(frames), (), ()), settings, small, fabric)
    depth = contrast(network, frames, settings, seed, run=run, fabric=fabric, quiet=quiet)
    if fabric.is_global_zero:
        _save(run, network, settings, {}, depth, Seen.of(images=dataset.cases))
        typer.echo(f"weights: {run.checkpoint / 'model.safetensors'}")


@app.command()
def train(
    data: Data,
    out: Out = Path("runs/medical"),
    weights: Annotated[
        Path | None, typer.Option("--weights", help="File to begin with, instead of contrast.")
    ] = None,
    test: Annotated[float, typer.Option(help="Volumes to test on, or their share below 1.")] = 0.2,
    layout: Layout = None,
    image_suffix: ImageSuffix = None,
    label_suffix: Suffix = None,
    subjects: Subjects = None,
    preset: Preset = None,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Pre-train on all volumes, learn from the labelled ones, test on subjects held out."""
    settings = _settings(preset, config, overrides)
    from nearfar_kit.launch import launch
    from nearfar_medical.begun import check_volumes, keep_volumes
    from nearfar_medical.geometry import filled
    from nearfar_medical.prepare import Preparation
    from nearfar_medical.report import write_untested_report
    from nearfar_medical.split import split_cases
    from nearfar_medical.train import Lesson, learn, new_network, seen_in
    from nearfar_medical.weights import load_weights, seen_by

    fabric = launch(device_of(device))
    dataset = _cases(
        data, layout, subjects=subjects, image_suffix=image_suffix, label_suffix=label_suffix
    )
    split = split_cases(
        dataset, labelled=settings.labelled, validation=settings.validation,
        test=int(test) if test >= 1 else (test or None), seed=seed,
    )  # fmt: skip
    settings = filled(settings, split.pretraining)
    run, metrics = begin(
        "medical", "train", out, settings, device=device, seed=seed, resume=resume, packages=TOLD
    )
    parts = {
        "to learn from": split.training_labelled, "to pre-train on": split.unlabelled,
        "to choose the weights": split.validation, "to test on": split.test,
    }  # fmt: skip
    check_volumes(run, parts)
    classes = _classes(dataset)  # reads all masks, which takes a while
    preparation = Preparation.of(settings)
    cases = (*split.pretraining, *split.validation)
    lesson = Lesson.of(split, _frames(cases, preparation, classes, run, quiet))
    keep_volumes(run, parts)
    channels = lesson.pool[0].image.shape[0]
    network = new_network(settings, channels, len(classes), seed).to(fabric.device)
    seen = seen_in(split, settings, contrast=weights is None)
    if weights is not None:
        seen = seen.after(seen_by(model_of(weights)))
        match = load_weights(network, model_of(weights))
        tell(f"{weights}: {match}")
        if 2 * len(match.taken) < len(network.state_dict()):
            few = "fewer than half of the network's weights fit; expected a file of the same widths"
            typer.echo(f"warning: {weights}: {few} (--preset, --set widths)", err=True)
    else:
        _warn_of_parts(lesson.pool, settings)
    contrast = weights is None
    if not quiet:
        small = _small(preset, config, overrides, settings) if contrast else None
        _tell_time(network, lesson, settings, small, fabric, contrast=contrast)
    tuning = learn(
        network, lesson, settings, seed, contrast=contrast, run=run, fabric=fabric, quiet=quiet
    )
    if tuning is None:
        return
    model = _save(run, network, settings, classes, network.depths + 1, seen)
    run.log("trained", best=tuning.best, step=tuning.best_step)
    if split.test:
        _test(run, metrics, model, split.test, set_name(data), seed, quiet, split=split)
    else:
        write_untested_report(run, metrics, model, split, tuning.best)
    end(run)


@app.command()
def segment(
    model: ModelOption,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder to write masks to.")],
    layout: Layout = None,
    image_suffix: ImageSuffix = None,
    device: DeviceOption = "auto",
    quiet: Quiet = False,
) -> None:
    """Masks of new volumes, each on its own file's voxels."""
    from nearfar_kit.launch import launch
    from nearfar_medical.predict import segment_cases

    trained = _load(model)
    trained.network.to(launch(device_of(device)).device)
    dataset = _cases(data, layout, image_suffix=image_suffix, labels=False)
    paths = segment_cases(trained, dataset, out, quiet=quiet)
    if not quiet:
        typer.echo(f"{len(paths)} masks: {out}")


@app.command()
def export(
    model: ModelOption,
    out: Annotated[Path, typer.Option("--out", help="New folder to write the bundle to.")],
) -> None:
    """A trained model as a MONAI bundle, which needs none of nearfar to run."""
    from nearfar_medical.monai_bundle import export_bundle

    export_bundle(_load(model), out)
    typer.echo(f"bundle: {out}")


@app.command()
def evaluate(
    model: ModelOption,
    data: Data,
    out: Out = Path("runs/medical-evaluation"),
    layout: Layout = None,
    image_suffix: ImageSuffix = None,
    label_suffix: Suffix = None,
    subjects: Subjects = None,
    device: DeviceOption = "auto",
    quiet: Quiet = False,
) -> None:
    """A trained model on labelled volumes: Dice and HD95 a case and class, with pictures."""
    from nearfar_kit.launch import launch

    trained = _load(model)
    trained.network.to(launch(device_of(device)).device)
    dataset = _cases(
        data, layout, subjects=subjects, image_suffix=image_suffix, label_suffix=label_suffix
    )
    if not dataset.labelled:
        raise UserError(f"{data}: no volume has a mask; expected labelled ones")
    run, metrics = begin("medical", "evaluate", out, trained.settings, device=device, packages=TOLD)
    _test(run, metrics, trained, dataset.labelled, set_name(data), 0, quiet)
    end(run)


@app.command()
def separate(
    background: Annotated[Path, typer.Option("--background", help="Folder or CSV list of images.")],
    target: Annotated[Path, typer.Option("--target", help="Folder or CSV list of images.")],
    out: Out = Path("runs/separate"),
    salient: Annotated[
        list[str] | None, typer.Option(help="Column that only targets' own traits tell; repeat.")
    ] = None,
    common: Annotated[
        list[str] | None, typer.Option(help="Column that what all share tells; repeat.")
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option(help="Which of these columns are numbers; repeat.")
    ] = None,
    test: Annotated[float, typer.Option(help="Share of either population held out.")] = 0.25,
    preset: Preset = None,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """What two populations have in common and what the targets have alone (SepCLR)."""
    if not 0 < test < 1:
        raise UserError(f"--test {test:g}: expected a share between 0 and 1")
    from nearfar_kit.launch import launch
    from nearfar_medical.sepclr.separate import read_pairs, sides
    from nearfar_medical.sepclr.separate import separate as learn

    pairs, settings = read_pairs(
        background, target, preset=preset or "gpu", config=config, overrides=overrides or [],
        salient=salient or [], common=common or [], measures=measure or [],
    )  # fmt: skip
    known, held_out = sides(
        pairs, settings, seed, test=test, salient=salient or [], common=common or []
    )
    fabric = launch(device_of(device))
    if preset is None and fabric.device.type == "cpu" and fabric.is_global_zero and not quiet:
        tell("no GPU here; --preset cpu is a small network and fewer steps, for some minutes")
    run, metrics = begin(
        "medical", "separate", out, settings, device=device, seed=seed, resume=resume, packages=TOLD
    )
    table = learn(
        run, metrics, known, held_out, settings, seed, salient=salient or [], common=common or [],
        dataset=set_name(target), fabric=fabric, quiet=quiet,
    )  # fmt: skip
    if table is not None:
        Console().print(table.terminal())
        end(run)


@app.command()
def bench(
    data: Data,
    out: Out = Path("runs/bench-medical"),
    profile: ProfileName = "cpu",
    methods: Methods = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Draws of labelled volumes.")] = None,
    processes: Processes = None,
    layout: Layout = None,
    image_suffix: ImageSuffix = None,
    label_suffix: Suffix = None,
    subjects: Subjects = None,
    config: Config = None,
    overrides: Overrides = None,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """The paper's comparison: every method, by number of labelled volumes, over draws of them; on
    the data set at --data, or on each one in that folder."""
    from nearfar_kit.report import Report, end_report
    from nearfar_medical.bench import plan_of, run_plan
    from nearfar_medical.comparison import PROFILES, write_comparison
    from nearfar_medical.frames import save_frames
    from nearfar_medical.geometry import filled
    from nearfar_medical.layouts import LAYOUTS
    from nearfar_medical.methods import METHODS
    from nearfar_medical.prepare import Preparation
    from nearfar_medical.split import split_cases

    chosen = profile_of(PROFILES, profile)
    settings = load_settings(MedicalSettings, config, overrides or [], base=chosen.settings)
    names = methods_of(methods, METHODS, chosen.methods)
    plan = plan_of(names, chosen.labelled, seeds or chosen.draws)

    def take(path: Path) -> tuple[str, Split, dict[int, str], MedicalSettings]:
        dataset = _cases(
            path, layout, subjects=subjects, image_suffix=image_suffix, label_suffix=label_suffix
        )
        split = split_cases(
            dataset, labelled=None, validation=settings.validation, test=chosen.test, seed=0
        )
        if len(split.training_labelled) < max(chosen.labelled):
            raise UserError(
                f"{path}: {len(split.training_labelled)} labelled volumes are left to learn from; "
                f"expected {max(chosen.labelled)} or more"
            )
        return set_name(path), split, _classes(dataset), filled(settings, split.pretraining)

    sets = usable([data] if layout else data_sets(LAYOUTS, data), take)
    if len(sets) == 1:
        settings = sets[0][-1]
    run, metrics = begin("medical", "bench", out, settings, resume=resume, packages=TOLD)
    for name, split, classes, own in sets:
        folder = run.checkpoint / name
        parts = {
            "pool": split.training_labelled, "validation": split.validation, "test": split.test,
        }  # fmt: skip
        cases = [*split.pretraining, *split.validation, *split.test]
        frames = _frames(cases, Preparation.of(own), classes, run, quiet)
        _warn_of_parts(frames, own)
        save_frames(folder / "frames.safetensors", frames)
        by_name = {part: [case.name for case in of] for part, of in parts.items()}
        by_name["pretraining"] = [case.name for case in split.pretraining]
        metrics.add(
            run_plan(
                plan, folder / "frames.safetensors", folder / "jobs", own, by_name, name, classes,
                processes=processes_of(processes), quiet=quiet,
            )
        )  # fmt: skip
    report = Report(
        "Segmentation from few labels",
        "Every method sees the same labelled volumes, drawn anew for each repetition; Dice is on "
        "volumes of subjects never seen.",
    )
    metrics.write(run.metrics)
    for table in write_comparison(run.path, metrics, report):
        Console().print(table.terminal())
    end_report(report, run, metrics)
    end(run)


def main() -> None:
    run_app(app)


def _settings(preset: str | None, config: Path | None, overrides: list[str] | None) -> Any:
    base = preset_values(PRESETS, preset or "gpu")
    return load_settings(MedicalSettings, config, overrides or [], base=base)


def _small(
    preset: str | None, config: Path | None, overrides: list[str] | None, filled: MedicalSettings
) -> MedicalSettings | None:
    """What --preset cpu would be, where none was given and no GPU is there; else None.

    The preset itself does not depend on the machine: the same call gives the same anywhere.
    """
    import torch

    if preset is not None or torch.cuda.is_available():
        return None
    try:
        settings: MedicalSettings = _settings("cpu", config, overrides)
    except UserError:  # what else is set does not go with it
        return None
    found = {name: getattr(filled, name) for name in ("slice_axis", "size", "spacing")}
    return settings.model_copy(update=found)


def _tell_time(
    network: Any, lesson: Any, settings: Any, small: Any, fabric: Any, *, contrast: bool = True
) -> None:
    """How long it will take, so that one need not wait to find out; and what would take less."""
    from nearfar_medical.timing import in_all, in_words
    from nearfar_medical.train import estimate, new_network

    # Of all processes: contrast is over the batches of all.
    parts = estimate(network, lesson, settings, contrast=contrast)
    if fabric.is_global_zero:
        typer.echo(in_all(parts), err=True)
    if small is None:
        return
    other = new_network(small, network.channels_in, network.classes, 0).to(fabric.device)
    less = sum(estimate(other, lesson, small, contrast=contrast).values())
    if fabric.is_global_zero and less < sum(parts.values()) / 2:
        tell(f"no GPU here; --preset cpu takes about {in_words(less)}")


def _cases(data: Path, layout: str | None, **options: Any) -> Any:
    from nearfar_medical.cases import find_cases

    dataset = find_cases(data, layout, **options)
    tell(*dataset.notes)
    return dataset


def _classes(dataset: Any) -> dict[int, str]:
    """As the data set tells, else as its masks hold."""
    from nearfar_medical.codes import gapless
    from nearfar_medical.volume import classes_in

    if dataset.classes:
        return dict(dataset.classes)
    found = classes_in(dataset.labelled)
    if not gapless(found):
        tell(f"each code of the masks is a class: {', '.join(map(str, found))}")
    return found


def _frames(cases: Any, preparation: Any, classes: Any, run: Any, quiet: bool) -> Any:
    from nearfar_medical.cache import prepare_cases
    from nearfar_medical.prepare import warn_if_cut

    folder = run.checkpoint / "prepared"
    made = prepare_cases(list(cases), preparation, classes, folder, quiet=quiet)
    warning = warn_if_cut({case.frame.name: case.placement for case in made})
    if warning is not None and run.writes:
        typer.echo(f"warning: {warning}", err=True)
    return [case.frame for case in made]


def _warn_of_parts(frames: Any, settings: MedicalSettings) -> None:
    from nearfar_medical.prepare import warn_if_parts_alike

    if settings.global_strategy in ("none", "GR"):
        return
    warning = warn_if_parts_alike([frame.image for frame in frames], settings.parts)
    if warning is not None:
        typer.echo(f"warning: {warning}", err=True)


def _load(path: Path) -> Any:
    from nearfar_medical.weights import load_model

    model = load_model(model_of(path))
    if model.pretrained:
        raise UserError(f"--model {path}: is pre-trained alone; expected one of train")
    return model


def _save(run: Any, network: Any, settings: Any, classes: Any, depth: int, seen: Any) -> Any:
    from nearfar_medical.weights import Model, save_model

    model = Model.of(network, settings, classes, depth, seen)
    save_model(run.checkpoint / "model.safetensors", model)
    return model


def _test(
    run: Any,
    metrics: Any,
    model: Any,
    cases: Any,
    dataset: str,
    seed: int,
    quiet: bool,
    *,
    split: Any = None,
) -> None:
    """Scores, pictures and page of a model on labelled cases."""
    from nearfar_medical.report import write_test_report
    from nearfar_medical.seen import overlap

    if note := overlap(model.seen, cases).note():
        tell(note)
    table = write_test_report(run, metrics, model, cases, dataset, seed, split=split, quiet=quiet)
    Console().print(table.terminal())


if __name__ == "__main__":
    main()
