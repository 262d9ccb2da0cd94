"""``nearfar-har``: demo, simulate, train, evaluate, classify, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from nearfar_har.settings import HarSettings
from nearfar_kit.bench import (
    Methods,
    Processes,
    ProfileName,
    methods_of,
    processes_of,
    profile_of,
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
from nearfar_kit.layouts import set_name
from nearfar_kit.run import model_of, refuse_begun
from nearfar_kit.settings import load_settings
from nearfar_kit.verb import begin, device_of, end, simulated

app = new_app("Activity recognition from several body-worn sensors with few labels (ColloSSL).")

Layout = Annotated[
    str | None,
    typer.Option(
        "--layout",
        help="Layout of --data: dsads, dsads_npz, geotec, pamap2, mhealth, opportunity, realworld "
        "or table; found by its look where not given.",
    ),
]
Read = Annotated[
    list[str] | None,
    typer.Option(
        "--read",
        help="Option of the reader, key=value, may be repeated. Of a table: columns.NAME (as "
        "columns.time=timestamp), subjects, rate, time, acc_unit, gyro_unit, max_gap, silence; "
        "other layouts have some of them.",
    ),
]
Model = Annotated[Path, typer.Option("--model", help="Run folder that train has left.")]

TOLD = ("numpy", "scikit-learn")  # packages whose versions metrics.json has

# torch, scikit-learn and matplotlib take seconds to import: each verb imports what it needs, so
# that --help and a mistake in the call answer at once.


@app.command()
def demo(
    out: Out = Path("runs/demo-har"),
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Two minutes on simulated sensors: ColloSSL against labels alone, and a report."""
    from nearfar_har.demo import DEMO, run_demo

    settings = load_settings(HarSettings, config, overrides or [], base=DEMO.model_dump())
    run, metrics = begin("har", "demo", out, settings, seed=seed, resume=resume, packages=TOLD)
    table = run_demo(run, metrics, settings, seed, quiet)
    Console().print(table.terminal())
    end(run)


@app.command()
def simulate(out: Out = Path("runs/recordings"), seed: Seed = 0) -> None:
    """Simulated recordings of six wearers as a file, to try the other verbs on."""
    from nearfar_har.simulate import write_simulated

    simulated(
        write_simulated, out, seed, "nearfar har train --data {}/recordings.parquet --out runs/har"
    )


@app.command()
def train(
    data: Data,
    out: Out = Path("runs/har"),
    hold_out: Annotated[
        list[str] | None,
        typer.Option(help="Subject to test on, may be repeated; none; default: the last fifth."),
    ] = None,
    layout: Layout = None,
    read: Read = None,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Pre-train on all windows, train a classifier a device, test on the subjects held out."""
    settings = load_settings(HarSettings, config, overrides or [])
    from nearfar_har.data import (
        check_trained,
        held_out_subjects,
        read_options,
        recordings_from,
        windows_of,
    )  # fmt: skip
    from nearfar_har.train import train as run_training
    from nearfar_kit.launch import launch

    # What can be refused at once is not refused after minutes of reading.
    refuse_begun(out, resume)
    fabric = launch(device_of(device))
    recordings = recordings_from(
        data, layout=layout, options=read_options(read), labelled=True, tell=tell
    )
    windows = windows_of(recordings, settings)
    held_out = held_out_subjects(windows, hold_out)
    rest, test = windows.split_by_subject(held_out) if held_out else (windows, None)
    if note := check_trained(recordings, rest, test, settings):
        tell(note)
    del recordings  # its memory is not needed in training
    run, metrics = begin(
        "har", "train", out, settings, device=device, seed=seed, resume=resume, packages=TOLD
    )
    model = run_training(rest, settings, seed, run=run, fabric=fabric, quiet=quiet)
    if fabric.is_global_zero:
        _report(run, metrics, model, rest, test, set_name(data), settings, seed)
        end(run)


@app.command()
def evaluate(
    model: Model,
    data: Data,
    out: Out = Path("runs/har-evaluation"),
    subjects: Annotated[
        list[str] | None, typer.Option("--subject", help="Only this subject; may be repeated.")
    ] = None,
    layout: Layout = None,
    read: Read = None,
    quiet: Quiet = False,
) -> None:
    """A trained model on labelled recordings: macro F1, confusion matrix, embeddings."""
    from nearfar_har.evaluate import with_activities_of

    refuse_begun(out, None)
    trained, settings = _load(model)
    windows = _windows_for(trained, settings, data, layout, read, labelled=True)
    if subjects:
        _, windows = windows.split_by_subject(subjects)
    with_activities_of(trained, windows)  # refused before anything is written
    if known := trained.trained_on(windows):
        tell(
            f"{len(known)} of these {len(set(windows.subject.tolist()))} subjects were trained on, "
            f"by their names: {', '.join(known)}; scores tell nothing of new people there, "
            "--subject NAME tests one alone"
        )
    run, metrics = begin("har", "evaluate", out, settings, packages=TOLD)
    _report(run, metrics, trained, windows, windows, set_name(data), settings, 0)
    end(run)


@app.command()
def classify(
    model: Model,
    data: Data,
    out: Annotated[
        Path,
        typer.Option("--out", help="File to write, .csv or .parquet; one there is replaced."),
    ],
    layout: Layout = None,
    read: Read = None,
    quiet: Quiet = False,
) -> None:
    """Label new recordings, window by window, with whatever devices there are.

    Start and end are in seconds: of the data's own clock, or since 1970.
    """
    from nearfar_har.classify import classify as label_windows
    from nearfar_har.classify import write_labels
    from nearfar_kit.frames import check_ending

    check_ending(out)
    trained, settings = _load(model)
    windows = _windows_for(trained, settings, data, layout, read)
    frame = label_windows(trained, windows)
    write_labels(frame, out)
    left_out = len(windows) - len(frame)
    if left_out:
        tell(f"{_windows(left_out)} left out: no known device was present")
    if not quiet:
        typer.echo(f"{_windows(len(frame))} labelled: {out}")


@app.command()
def bench(
    data: Data,
    out: Out = Path("runs/bench-har"),
    profile: ProfileName = "cpu",
    methods: Methods = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this data set of --data.")] = None,
    processes: Processes = None,
    config: Config = None,
    overrides: Overrides = None,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """ColloSSL against every baseline, leave-one-subject-out, by share of labels."""
    from nearfar_har.bench import METHODS
    from nearfar_har.comparison import PROFILES, compare, usable_sets, write_comparison
    from nearfar_har.data import data_sets, windows_from
    from nearfar_kit.report import end_report

    chosen = profile_of(PROFILES, profile)
    settings = load_settings(HarSettings, config, overrides or [], base=chosen.settings)
    names = methods_of(methods, METHODS, chosen.methods)
    refuse_begun(out, resume)
    found = data_sets(data)
    if dataset is not None:
        if dataset not in found:
            raise UserError(f"--dataset {dataset}: expected one of {', '.join(found)}")
        found = {dataset: found[dataset]}
    windows = {name: windows_from(path, settings, tell=tell) for name, path in found.items()}
    windows = usable_sets(windows, needed=dataset is not None)
    run, metrics = begin("har", "bench", out, settings, resume=resume, packages=TOLD)
    compare(
        windows, run, settings, metrics,
        methods=names, seeds=seeds or chosen.seeds, ablation_seeds=seeds or chosen.ablation_seeds,
        folds=chosen.folds, shares=chosen.shares,
        processes=processes_of(processes), quiet=quiet,
    )  # fmt: skip
    report = _new_report(
        "Activity recognition: ColloSSL against its baselines",
        "Subjects are held out in turn; every method sees the same labelled windows.",
    )
    metrics.write(run.metrics)
    for table in write_comparison(run.path, metrics, report):
        Console().print(table.terminal())
    end_report(report, run, metrics)
    end(run)


def main() -> None:
    run_app(app)


def _windows(number: int) -> str:
    return f"{number} window{'s' * (number != 1)}"


def _new_report(title: str, subtitle: str) -> Any:
    from nearfar_kit.report import Report

    return Report(title, subtitle)


def _load(model: Path) -> tuple[Any, HarSettings]:
    from nearfar_har.model import HarModel

    return HarModel.load(model_of(model)), load_settings(HarSettings, model / "settings.yaml")


def _windows_for(
    trained: Any,
    settings: HarSettings,
    data: Path,
    layout: str | None,
    read: list[str] | None,
    *,
    labelled: bool = False,
) -> Any:
    from nearfar_har.data import read_options, windows_from

    windows = windows_from(
        data, settings, layout=layout, options=read_options(read), rate=trained.rate,
        labelled=labelled, tell=tell,
    )  # fmt: skip
    trained.check(windows)
    unknown = [name for name in windows.devices if name not in trained.classifiers]
    if unknown:
        tell(
            f"devices not used, unknown to the model: {', '.join(unknown)}; "
            f"it knows {', '.join(trained.classifiers)}"
        )
    return windows


def _report(
    run: Any,
    metrics: Any,
    model: Any,
    rest: Any,
    test: Any,
    dataset: str,
    settings: HarSettings,
    seed: int,
) -> None:
    """Metrics, pictures and page of one model."""
    from nearfar_har.evaluate import evaluate as scores
    from nearfar_har.report import by_activity, by_device, training_pictures
    from nearfar_kit.report import end_report

    of = f"{len(rest.devices)} devices, {len(set(rest.subject.tolist()))} subjects"
    if test is rest:
        told = f"tested on {len(test)} windows of {of}."
    else:
        told = f"learnt from {len(rest)} windows of {of}"
        told += "." if test is None else f"; tested on {len(test)} windows of others."
    report = _new_report(
        "Activity recognition from body-worn sensors", f"{settings.pretext} on {dataset}: {told}"
    )
    shown = rest if test is None else test
    if test is not None:
        metrics.add(scores(model, test, dataset, settings.pretext, seed))
        people = [test.subjects[s] for s in sorted(set(test.subject.tolist()))]
        known = model.trained_on(test)
        seen = f", of whom {', '.join(known)} were trained on" if known else ""
        caption = f"Macro F1 by device; tested on {', '.join(people)}{seen}."
        table = by_device(metrics.records, "1.0", caption)
        counted = f", {len(known)} of them trained on" if known else ""
        what = f"tested on {len(people)} subject{'s' * (len(people) > 1)}{counted}"
        report.section("How well it tells activities apart")
        report.table(table)
        Console().print(table.terminal())
        each = by_activity(metrics.records, "Each activity, all devices together.")
        report.table(each)
        Console().print(each.terminal())
    else:
        report.section("Not tested", "No subject was held out: these pictures show training data.")
        what = "training data"
    training_pictures(report, run, model, rest, shown, what)
    end_report(report, run, metrics)


if __name__ == "__main__":
    main()
