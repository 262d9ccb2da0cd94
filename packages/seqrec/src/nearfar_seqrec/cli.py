"""``nearfar-seqrec``: demo, simulate, train, evaluate, recommend, export, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

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
)  # fmt: skip
from nearfar_kit.errors import UserError
from nearfar_kit.layouts import set_name
from nearfar_kit.run import model_of
from nearfar_kit.settings import load_settings
from nearfar_kit.verb import begin, device_of, end, simulated
from nearfar_seqrec.settings import SeqrecSettings, Unknown

app = new_app("Sequential recommendation: MCLRec and its peers, on RecBole.")

Layout = Annotated[
    str | None,
    typer.Option("--layout", help="Layout of --data; found by its look where not given."),
]
Read = Annotated[
    list[str] | None,
    typer.Option("--read", help="Option of the reader, key=value, as user=customer."),
]
UnknownItems = Annotated[
    Unknown,
    typer.Option(
        "--unknown",
        help="Items unknown to the model: auto skips them with a note, and is an error where more "
        "than half of the data is of items that training never saw; skip always skips; to error "
        "each is one. An item of --item is skipped by skip alone.",
    ),
]
Model = Annotated[Path, typer.Option("--model", help="Run folder that train has left.")]

MOST_SHOWN = 20  # users whose lists a terminal holds
POPULAR = "popular"  # what needs no training
TOLD = ("recbole", "numpy", "pandas")  # packages whose versions metrics.json has

# torch, RecBole and matplotlib take seconds to import: each verb imports what it needs, so that
# --help and a mistake in the call answer at once.


@app.command()
def demo(
    out: Out = Path("runs/demo-seqrec"),
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Two minutes on simulated shoppers: MCLRec against its baselines, and a report."""
    from nearfar_seqrec.demo import DEMO, run_demo

    settings = load_settings(SeqrecSettings, config, overrides or [], base=DEMO)
    run, metrics = begin("seqrec", "demo", out, settings, seed=seed, resume=resume, packages=TOLD)
    Console().print(run_demo(run, metrics, settings, seed, quiet).terminal())
    end(run)


@app.command()
def simulate(out: Out = Path("runs/shoppers"), seed: Seed = 0) -> None:
    """Simulated shoppers' histories as a file, to try the other verbs on."""
    from nearfar_seqrec.simulate import write_simulated

    simulated(
        write_simulated, out, seed, "nearfar seqrec train --data {}/clicks.csv --out runs/seqrec"
    )


@app.command()
def train(
    data: Data,
    out: Out = Path("runs/seqrec"),
    layout: Layout = None,
    read: Read = None,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Train on all but each user's last items, choose the epoch and test on those."""
    settings = load_settings(SeqrecSettings, config, overrides or [])
    from nearfar_kit.launch import launch
    from nearfar_kit.report import Report, end_report
    from nearfar_seqrec.baselines import Popular
    from nearfar_seqrec.data import read_options, split_from
    from nearfar_seqrec.report import training_curve
    from nearfar_seqrec.train import train as run_training

    options = read_options(read)
    fabric = launch(device_of(device))
    run, metrics = begin(  # before the data, which may be long in reading
        "seqrec", "train", out, settings, device=device, seed=seed, resume=resume, packages=TOLD
    )
    split = split_from(data, settings, layout, options)
    tell(*split.sequences.notes, *split.notes)
    recommender = run_training(split, settings, seed, run=run, fabric=fabric, quiet=quiet)
    if not fabric.is_global_zero:
        return
    report = Report(
        "Sequential recommendation",
        f"{settings.method} on {set_name(data)}: {len(split.sequences)} users, "
        f"{len(split.sequences.items)} items, {len(split.sequences.flat)} interactions.",
    )
    scorers = {settings.method: recommender.scorer(), POPULAR: Popular(split)}
    _test(report, metrics, scorers, split, set_name(data), seed, settings)
    tell(*training_curve(report, run, recommender))
    end_report(report, run, metrics)
    end(run)


@app.command()
def evaluate(
    model: Model,
    data: Data,
    out: Out = Path("runs/seqrec-evaluation"),
    layout: Layout = None,
    read: Read = None,
    unknown: UnknownItems = "auto",
    quiet: Quiet = False,
) -> None:
    """A trained model on other sequences of its items: full ranking of each user's last one."""
    from nearfar_kit.report import Report, end_report
    from nearfar_seqrec.baselines import Popular
    from nearfar_seqrec.data import read_options
    from nearfar_seqrec.readers import read as read_sequences
    from nearfar_seqrec.split import leave_one_out

    options = read_options(read)
    recommender = _load(model)
    run, metrics = begin("seqrec", "evaluate", out, recommender.settings, packages=TOLD)
    sequences = read_sequences(data, layout, **options)
    split = leave_one_out(recommender.renumbered(sequences, str(data), unknown))
    tell(*split.sequences.notes, *split.notes)
    report = Report(
        "Sequential recommendation",
        f"{recommender.settings.method} of {model} on {set_name(data)}.",
    )
    settings = recommender.settings
    # What the model was trained on is what popularity is counted in, too.
    popular = Popular(leave_one_out(recommender.sequences))
    scorers = {settings.method: recommender.scorer(), POPULAR: popular}
    _test(report, metrics, scorers, split, set_name(data), 0, settings)
    end_report(report, run, metrics)
    end(run)


@app.command()
def recommend(
    model: Model,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File to write, .csv or .parquet; one that is there is replaced. With it, all "
            "users of the training where none is named.",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="New sequences, in any layout.")
    ] = None,
    layout: Layout = None,
    read: Read = None,
    users: Annotated[
        list[str] | None, typer.Option("--user", help="A user of the training; may be repeated.")
    ] = None,
    items: Annotated[
        list[str] | None,
        typer.Option("--item", help="An item of one new sequence, the oldest first; repeat it."),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Items a list.")] = 10,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Items of the sequence itself may come again.")
    ] = False,
    unknown: UnknownItems = "auto",
    quiet: Quiet = False,
) -> None:
    """The best next items, for users of the training or for new sequences."""
    from nearfar_kit.frames import check_name, print_frame, write_frame
    from nearfar_seqrec.data import read_options
    from nearfar_seqrec.readers import read as read_sequences
    from nearfar_seqrec.recommend import (
        histories_of,
        numbers_of,
        recommend,
    )

    if sum(given is not None for given in (data, users, items)) > 1:
        raise UserError("--data, --user, --item: expected one of them, or none for all users")
    if out is not None:
        check_name(out)
    trained = _load(model)
    if data is not None:
        sequences = read_sequences(data, layout, **read_options(read))
        known = trained.renumbered(sequences, str(data), unknown)
        tell(*known.notes)
        histories = [(str(user), known.of(n)) for n, user in enumerate(known.users)]
    elif items is not None:
        hint = ", or --unknown skip"
        histories = [("new", numbers_of(trained, items, "--item", unknown, hint))]
    else:
        histories = histories_of(trained, users)
        if users is None and out is None and len(histories) > MOST_SHOWN:
            raise UserError(
                f"--model {model}: knows {len(histories)} users, too many to show; expected "
                "--user, --item, --data, or --out FILE for the lists of all"
            )
    frame = recommend(trained, histories, k, repeat=repeat)
    if out is None:
        print_frame(frame)
        return
    write_frame(frame, out)
    if not quiet:
        typer.echo(f"{len(histories)} lists of up to {k} items: {out}")


@app.command()
def export(
    model: Model,
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder to write; an earlier export that is there is replaced."),
    ],
    faiss: Annotated[bool, typer.Option("--faiss", help="An index of the items too.")] = False,
    quiet: Quiet = False,
) -> None:
    """Vectors of items and users, whose inner products are the scores."""
    from nearfar_seqrec.export import export as write_vectors

    for path in write_vectors(_load(model), out, faiss=faiss):
        if not quiet:
            typer.echo(path)


@app.command()
def bench(
    data: Annotated[
        Path,
        typer.Option("--data", help="Data set, folder of such, or ml-100k, which RecBole carries."),
    ] = Path("ml-100k"),
    out: Out = Path("runs/bench-seqrec"),
    profile: ProfileName = "cpu",
    methods: Methods = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds.")] = None,
    processes: Processes = None,
    device: DeviceOption = "auto",
    config: Config = None,
    overrides: Overrides = None,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """MCLRec, its parts and its peers: one split, loop, budget and loss for all."""
    from nearfar_kit.report import Report, end_report
    from nearfar_seqrec.bench import METHODS, compare
    from nearfar_seqrec.data import data_sets, split_from
    from nearfar_seqrec.profiles import PROFILES
    from nearfar_seqrec.report import write_comparison

    chosen = profile_of(PROFILES, profile)
    settings = load_settings(SeqrecSettings, config, overrides or [], base=chosen.settings)
    names = methods_of(methods, METHODS, chosen.methods)
    where = device_of(device)
    paths = {set_name(path): path for path in data_sets(data)}
    about = {}
    for name, path in paths.items():  # refused before anything is written
        split = split_from(path, settings)
        known = split.sequences
        about[name] = (
            f"{len(known)} users, {len(known.items)} items, {len(known.flat)} interactions"
        )
        tell(*known.notes, *split.notes)
    run, metrics = begin(
        "seqrec", "bench", out, settings, device=device, resume=resume, packages=TOLD
    )
    on_gpu = metrics.device.startswith("cuda")
    for name, path in paths.items():
        metrics.add(
            compare(
                name, path, run.checkpoint / "jobs", settings, names, seeds or chosen.seeds,
                processes=1 if on_gpu and not processes else processes_of(processes),
                device=where, quiet=quiet,
            )
        )  # fmt: skip
    report = Report(
        "Sequential recommendation: MCLRec, its parts and its peers",
        "One split, one loop, one budget and one loss for all; settings chosen by validation.",
    )
    metrics.write(run.metrics)  # the time and the memory, for the tables
    for table in write_comparison(run.path, metrics, report, about):
        Console().print(table.terminal())
    end_report(report, run, metrics)
    end(run)


def main() -> None:
    run_app(app)


def _load(model: Path) -> Any:
    file = model_of(model)
    from nearfar_seqrec.recommender import Recommender

    return Recommender.load(file)


def _test(
    report: Any, metrics: Any, scorers: dict[str, Any], split: Any, dataset: str, seed: int,
    settings: SeqrecSettings,
) -> None:  # fmt: skip
    """Measures of scorers by name on the test part, into metrics, report and terminal."""
    from nearfar_kit.table import Table
    from nearfar_seqrec.evaluate import evaluate as measure
    from nearfar_seqrec.evaluate import records_of
    from nearfar_seqrec.report import MEASURES, below

    n = len(split.test)
    found = {}
    for name, scorer in scorers.items():
        found[name] = measure(
            scorer, split, split.test, longest=settings.longest, mask_seen=settings.mask_seen
        )
        metrics.add(
            records_of(found[name], dataset=dataset, split="test", method=name, seed=seed, n=n)
        )
    columns = [*found.values()]
    rows = [[name, *(f"{own[name]:.4f}" for own in columns)] for name in columns[0]]
    caption = f"Full ranking of {len(split.sequences.items)} items, {n} tests."
    table = Table(caption, ["measure", *found], rows)
    (name, own), (other, theirs) = found.items()
    notes = below(name, own, other, theirs)
    report.section("How well it tells what comes next", *MEASURES, *(f"{note}." for note in notes))
    report.table(table)
    Console().print(table.terminal())
    tell(*notes)


if __name__ == "__main__":
    main()
