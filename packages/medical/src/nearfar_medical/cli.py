"""``nearfar-medical``: demo, pretrain, train, segment, evaluate, bench."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

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
)  # fmt: skip
from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings, settings_hash
from nearfar_medical.settings import MedicalSettings

app = new_app("Segmentation of volumes from few labels, by global and local contrast.")

Layout = Annotated[
    str | None,
    typer.Option("--layout", help="folder, decathlon, nnunet or bids; else found by its look."),
]
Suffix = Annotated[
    str | None, typer.Option("--label-suffix", help="Which mask of several, in BIDS.")
]
Subjects = Annotated[
    Path | None, typer.Option("--subjects", help="CSV of case,subject where names don't tell.")
]
ModelOption = Annotated[
    Path, typer.Option("--model", help="Run folder of train, or its model.safetensors.")
]

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
    run, metrics = _begin("demo", out, settings, "cpu", seed, resume)
    table = run_demo(run, metrics, settings, seed, quiet)
    Console().print(table.terminal())
    _end(run)


@app.command()
def pretrain(
    data: Data,
    out: Out = Path("runs/medical-pretrained"),
    layout: Layout = None,
    subjects: Subjects = None,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Learn from volumes alone, no label needed; the weights are train's to begin with."""
    settings = load_settings(MedicalSettings, config, overrides or [])
    from nearfar_kit.launch import launch
    from nearfar_medical.cases import find_cases
    from nearfar_medical.train import new_network
    from nearfar_medical.train import pretrain as learn

    dataset = find_cases(data, layout, subjects=subjects, labels=False)
    fabric = launch(_device(device))
    run, _ = _begin("pretrain", out, settings, device, seed, resume)
    preparation = _preparation(settings, dataset.cases)
    frames = _frames(dataset.cases, preparation, {}, run, quiet)
    _warn_of_parts(frames, settings)
    network = new_network(settings, frames[0].image.shape[0], 2, seed)
    depth = learn(network, frames, settings, seed, run=run, fabric=fabric, quiet=quiet)
    if fabric.is_global_zero:
        _save(run, network.cpu(), settings, {}, preparation, depth)
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
    label_suffix: Suffix = None,
    subjects: Subjects = None,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Pre-train on all volumes, learn from the labelled ones, test on subjects held out."""
    settings = load_settings(MedicalSettings, config, overrides or [])
    from nearfar_kit.launch import launch
    from nearfar_medical.cases import find_cases
    from nearfar_medical.split import split_cases
    from nearfar_medical.train import finetune, new_network
    from nearfar_medical.train import pretrain as learn
    from nearfar_medical.volume import classes_in
    from nearfar_medical.weights import load_weights

    dataset = find_cases(data, layout, subjects=subjects, label_suffix=label_suffix)
    split = split_cases(
        dataset, labelled=settings.labelled, validation=settings.validation,
        test=int(test) if test >= 1 else (test or None), seed=seed,
    )  # fmt: skip
    classes = dataset.classes or classes_in(dataset.labelled)
    fabric = launch(_device(device))
    run, metrics = _begin("train", out, settings, device, seed, resume)
    preparation = _preparation(settings, split.pretraining)
    frames = {
        frame.name: frame
        for frame in _frames(
            (*split.pretraining, *split.validation), preparation, classes, run, quiet
        )
    }
    pool = [frames[case.name] for case in split.pretraining]
    network = new_network(settings, pool[0].image.shape[0], len(classes), seed)
    if weights is not None:
        match = load_weights(network, _model_file(weights))
        typer.echo(f"{weights}: {match}", err=True)
    else:
        _warn_of_parts(pool, settings)
        learn(network, pool, settings, seed, run=run, fabric=fabric, quiet=quiet)
    if not fabric.is_global_zero:
        return
    tuning = finetune(
        network.to(fabric.device),
        [frames[case.name] for case in split.training_labelled],
        [frames[case.name] for case in split.validation],
        settings, seed, run=run, quiet=quiet,
    )  # fmt: skip
    model = _save(run, network.cpu(), settings, classes, preparation, network.depths + 1)
    run.log("trained", best=tuning.best, step=tuning.best_step)
    if split.test:
        _test(run, metrics, model, split.test, data.stem, seed, quiet)
    _end(run)


@app.command()
def segment(
    model: ModelOption,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder to write masks to.")],
    layout: Layout = None,
    device: DeviceOption = "auto",
    quiet: Quiet = False,
) -> None:
    """Masks of new volumes, each on its own file's voxels."""
    from nearfar_medical.cases import find_cases
    from nearfar_medical.predict import segment_cases

    trained = _load(model)
    dataset = find_cases(data, layout, labels=False)
    paths = segment_cases(trained, dataset, out, device=_device(device), quiet=quiet)
    if not quiet:
        typer.echo(f"{len(paths)} masks: {out}")


@app.command()
def evaluate(
    model: ModelOption,
    data: Data,
    out: Out = Path("runs/medical-evaluation"),
    layout: Layout = None,
    label_suffix: Suffix = None,
    quiet: Quiet = False,
) -> None:
    """A trained model on labelled volumes: Dice and HD95 a case and class, with pictures."""
    from nearfar_medical.cases import find_cases

    trained = _load(model)
    dataset = find_cases(data, layout, label_suffix=label_suffix)
    if not dataset.labelled:
        raise UserError(f"{data}: no volume has a mask; expected labelled ones")
    run, metrics = _begin("evaluate", out, trained.settings, "cpu", 0, resume=False)
    _test(run, metrics, trained, dataset.labelled, data.stem, 0, quiet)
    _end(run)


@app.command()
def bench(
    data: Data,
    out: Out = Path("runs/bench-medical"),
    profile: Annotated[str, typer.Option(help="smoke, cpu or gpu.")] = "cpu",
    methods: Annotated[str | None, typer.Option(help="Names, separated by semicolons.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Draws of labelled volumes.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Default: one a core.")] = None,
    layout: Layout = None,
    label_suffix: Suffix = None,
    subjects: Subjects = None,
    config: Config = None,
    overrides: Overrides = None,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """The paper's comparison: every method, by number of labelled volumes, over draws of them."""
    from nearfar_kit.report import Report, facts
    from nearfar_medical.bench import plan_of, run_plan
    from nearfar_medical.cases import find_cases
    from nearfar_medical.comparison import PROFILES, write_comparison
    from nearfar_medical.frames import save_frames
    from nearfar_medical.split import split_cases
    from nearfar_medical.volume import classes_in

    if profile not in PROFILES:
        raise UserError(f"--profile {profile}: expected one of {', '.join(PROFILES)}")
    chosen = PROFILES[profile]
    settings = load_settings(MedicalSettings, config, overrides or [], base=chosen.settings)
    names = [name.strip() for name in methods.split(";")] if methods else list(chosen.methods)
    plan = plan_of(names, chosen.labelled, seeds or chosen.draws)
    dataset = find_cases(data, layout, subjects=subjects, label_suffix=label_suffix)
    split = split_cases(
        dataset, labelled=None, validation=settings.validation, test=chosen.test, seed=0
    )
    if len(split.training_labelled) < max(chosen.labelled):
        raise UserError(
            f"{data}: {len(split.training_labelled)} labelled volumes are left to learn from; "
            f"expected {max(chosen.labelled)} or more"
        )
    classes = dataset.classes or classes_in(dataset.labelled)
    run, metrics = _begin("bench", out, settings, "cpu", 0, resume)
    preparation = _preparation(settings, split.pretraining)
    parts = {"pool": split.training_labelled, "validation": split.validation, "test": split.test}
    file = run.checkpoint / "frames.safetensors"
    cases = [*split.pretraining, *split.validation, *split.test]
    frames = _frames(cases, preparation, classes, run, quiet)
    _warn_of_parts(frames, settings)
    save_frames(file, frames)
    by_name = {part: [case.name for case in of] for part, of in parts.items()}
    by_name["pretraining"] = [case.name for case in split.pretraining]
    metrics.add(
        run_plan(
            plan, file, run.checkpoint / "jobs", settings, by_name, data.stem, classes,
            processes=processes or len(os.sched_getaffinity(0)), quiet=quiet,
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
    report.section("How this was made")
    report.facts(facts(metrics))
    report.write(run.report)
    _end(run)


def main() -> None:
    run_app(app)


def _device(device: str) -> Any:
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {device}: expected auto, cpu or cuda")
    return device


def _begin(
    verb: str, out: Path, settings: MedicalSettings, device: str, seed: int, resume: bool
) -> tuple[Any, Any]:
    """The run folder and the metrics of a run that begins, all chance seeded."""
    import nearfar
    from nearfar_kit.launch import describe_device
    from nearfar_kit.metrics import Metrics, versions_of
    from nearfar_kit.run import RunFolder
    from nearfar_kit.seeds import seed_everything

    run = RunFolder(out, settings, resume=resume)
    run.log("begin", verb=verb, seed=seed, resume=resume)
    seed_everything(seed)
    described = describe_device(_device(device))
    metrics = Metrics(
        domain="medical",
        verb=verb,
        versions=versions_of("nearfar-medical", "monai", "nibabel", "numpy"),
        device=described,
        loss_path=nearfar.loss_path(described.split()[0]),
        settings_hash=settings_hash(settings),
    )
    return run, metrics


def _end(run: Any) -> None:
    run.log("end")
    typer.echo(f"report: {run.report}")


def _preparation(settings: MedicalSettings, cases: Any) -> Any:
    from nearfar_medical.prepare import Preparation
    from nearfar_medical.volume import spacing_of

    return Preparation.of(settings, map(spacing_of, cases))


def _frames(cases: Any, preparation: Any, classes: Any, run: Any, quiet: bool) -> Any:
    from nearfar_medical.cache import prepared

    return prepared(list(cases), preparation, classes, run.checkpoint / "prepared", quiet=quiet)


def _warn_of_parts(frames: Any, settings: MedicalSettings) -> None:
    from nearfar_medical.prepare import warn_if_parts_alike

    if settings.global_strategy in ("none", "GR"):
        return
    warning = warn_if_parts_alike([frame.image for frame in frames], settings.parts)
    if warning is not None:
        typer.echo(f"warning: {warning}", err=True)


def _model_file(path: Path) -> Path:
    return path / "checkpoint" / "model.safetensors" if path.is_dir() else path


def _load(path: Path) -> Any:
    from nearfar_medical.weights import load_model

    model = load_model(_model_file(path))
    if model.trained_depth <= model.network.depths:
        raise UserError(f"--model {path}: is pre-trained alone; expected one of train")
    return model


def _save(run: Any, network: Any, settings: Any, classes: Any, preparation: Any, depth: int) -> Any:
    from nearfar_medical.weights import Model, save_model

    channels = tuple(f"channel {n}" for n in range(network.channels_in))
    model = Model(network.eval(), settings, dict(classes), channels, preparation, depth)
    save_model(run.checkpoint / "model.safetensors", model)
    return model


def _test(
    run: Any, metrics: Any, model: Any, cases: Any, dataset: str, seed: int, quiet: bool
) -> None:
    """Scores, pictures and page of a model on labelled cases."""
    from nearfar_medical.report import write_test_report

    table = write_test_report(run, metrics, model, cases, dataset, seed, quiet=quiet)
    Console().print(table.terminal())


if __name__ == "__main__":
    main()
