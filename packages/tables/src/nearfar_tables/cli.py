"""``nearfar-tables``: integrate, update, match-one, match, group, resolve, demo, bench."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar_kit.bench import Methods, Processes, ProfileName, processes_of, profile_of
from nearfar_kit.command import (
    Config,
    Data,
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
from nearfar_kit.printable import printable_lines
from nearfar_kit.settings import load_settings
from nearfar_kit.verb import begin, end, simulated
from nearfar_tables.settings import TablesSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from nearfar_kit.metrics import Metrics
    from nearfar_kit.run import RunFolder
    from nearfar_tables.conflicts.question import Judge
    from nearfar_tables.integration import Result
    from nearfar_tables.lake import Lake
    from nearfar_tables.source import SourceTable

app = new_app("Dirty tables of a data lake into one: align, block, match, group, resolve (SSACL).")

LAKE = Path("checkpoint") / "lake"
TOLD = ("numpy", "polars", "duckdb", "scikit-learn", "igraph")
File = Annotated[
    Path,
    typer.Option(
        "--out", help="File to write, .csv, .parquet or .arrow; one that is there is replaced."
    ),
]
Table = Annotated[Path, typer.Option("--data", help="A table; rows are numbered from 0.")]
Align = Annotated[
    list[str] | None,
    typer.Option("--align", help="table.column=name in the union; may be repeated."),
]
SourceColumn = Annotated[
    str | None, typer.Option("--source", help="Column that says whose a row is.")
]
Ending = Annotated[str, typer.Option(help="Of the files written: csv or parquet.")]
Lakes = Annotated[Path, typer.Option("--model", help="Run folder of integrate, or of update.")]
JudgeOption = Annotated[
    str | None,
    typer.Option(
        "--judge",
        help="Who decides conflicts by example: neighbours, a server's URL, a model's folder.",
    ),
]
Model = Annotated[
    str | None, typer.Option("--server-model", help="The server's name for its model.")
]
KeyEnv = Annotated[str | None, typer.Option(help="Variable that holds the server's key.")]
Cache = Annotated[Path | None, typer.Option(help="SQLite file that keeps a server's answers.")]
Ray = Annotated[
    str | None,
    typer.Option(help="Ray cluster that looks at pairs: local, auto, or its address HOST:PORT."),
]
Budget = Annotated[int | None, typer.Option(min=1, help="Tokens to spend on a server.")]


@app.command()
def demo(
    out: Out = Path("runs/demo-tables"),
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Three simulated restaurant guides into one table, against joining equal names."""
    from rich.console import Console

    from nearfar_tables.demo import DEMO, run_demo

    settings = load_settings(TablesSettings, config, overrides or [], base=DEMO.model_dump())
    run, metrics = begin("tables", "demo", out, settings, seed=seed, packages=TOLD)
    Console().print(run_demo(run, metrics, settings, seed, quiet).terminal())
    end(run)


@app.command()
def simulate(out: Out = Path("runs/guides"), seed: Seed = 0) -> None:
    """Three simulated guides to the same restaurants, to try the other verbs on."""
    from nearfar_tables.simulate import write_simulated

    simulated(
        write_simulated, out, seed, "nearfar tables integrate --data {}/lake --out runs/tables"
    )


@app.command()
def integrate(
    data: Data,
    out: Out = Path("runs/tables"),
    align: Align = None,
    ending: Ending = "csv",
    judge: JudgeOption = None,
    server_model: Model = None,
    key_env: KeyEnv = None,
    cache: Cache = None,
    budget: Budget = None,
    processes: Processes = None,
    ray: Ray = None,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """All tables of a folder into one: table, sets, pairs, conflicts, provenance, a report."""
    began = time.monotonic()
    settings = load_settings(TablesSettings, config, overrides or [])
    _known_ending(ending)
    columns = _alignment(align)
    judging = _judge(judge, server_model, key_env, cache, budget)
    from nearfar_tables.lake import Lake
    from nearfar_tables.on_ray import cluster
    from nearfar_tables.readers import read_all
    from nearfar_tables.workplace import goes_on_in, workplace

    sources = read_all(data)
    _no_run(out, resume)
    begun_with = {
        "settings": settings.model_dump(mode="json"), "seed": seed, "columns": columns,
        "tables": [[s.name, s.frame.height, s.frame.columns] for s in sources],
    }  # fmt: skip
    with (
        cluster(ray) if ray else nullcontext(),  # what is not there is told before work is done
        workplace(out, begun_with, resume=resume) as place,
    ):
        goes_on = goes_on_in(place)
        lake = Lake.of(
            sources, columns=columns, settings=settings, seed=seed, folder=place,
            processes=processes_of(processes), ray=ray, quiet=quiet,
        )  # fmt: skip
        result = lake.result(judging)
        run, metrics = begin(
            "tables", "integrate", out, settings, seed=seed, resume=resume, packages=TOLD
        )
        metrics.began, metrics.resumed = began, goes_on
        notes = _apart(sources, columns)
        if lake.scored.note:
            notes.append(lake.scored.note)
        _leave(run, metrics, lake, sources, result, ending, notes)


@app.command()
def update(
    model: Lakes,
    data: Data,
    out: Out = Path("runs/tables-updated"),
    align: Align = None,
    ending: Ending = "csv",
    judge: JudgeOption = None,
    server_model: Model = None,
    key_env: KeyEnv = None,
    cache: Cache = None,
    budget: Budget = None,
    quiet: Quiet = False,
) -> None:
    """More rows into an integrated table; what was joined stays, under the same numbers."""
    began = time.monotonic()
    _known_ending(ending)
    columns = _alignment(align)
    judging = _judge(judge, server_model, key_env, cache, budget)
    from nearfar_tables.readers import read_all

    sources = read_all(data)
    lake = _lake(model)
    notes = _apart([lake.as_source(), *sources], columns)
    lake.update(sources, columns=columns)
    run, metrics = begin("tables", "update", out, lake.settings, seed=lake.seed, packages=TOLD)
    metrics.began = began
    _leave(run, metrics, lake, sources, lake.result(judging), ending, notes)


@app.command("match-one")
def match_one(
    model: Lakes,
    row: Annotated[str, typer.Option("--row", help="A JSON object of columns and values.")],
    most: Annotated[int, typer.Option(min=1, help="How many sets to tell.")] = 5,
) -> None:
    """The sets that a row may belong to, a JSON line each; nothing is added."""
    import json
    from dataclasses import asdict

    try:
        content = json.loads(row)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError('--row: is no JSON object; expected {"column": "value", ...}')
    lake = _lake(model)
    partners = lake.match_one(content, most=most)
    for partner in partners:
        typer.echo(printable_lines(json.dumps(asdict(partner), ensure_ascii=False)))
    if not partners:
        tell(lake.why_none())
    elif partners[0].probability <= lake.settings.threshold:
        tell(
            f"none of these matches: the likeliest has a probability of "
            f"{partners[0].probability:.2g}; matches have more than {lake.settings.threshold}"
        )


@app.command()
def match(
    data: Table,
    out: File,
    pairs: Annotated[
        Path | None, typer.Option(help="Table of candidates: row numbers left, right[, label].")
    ] = None,
    source: SourceColumn = None,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Scores of pairs of rows: those given, or those that blocking finds."""
    settings = load_settings(TablesSettings, config, overrides or [])
    import numpy as np
    import polars as pl

    from nearfar_tables.blocking import block
    from nearfar_tables.matching import match as run_matching
    from nearfar_tables.writers import write

    frame, origin, _ = _rows_and_source(data, source)
    labels = None
    if pairs is None:
        candidates = block(
            frame, source=origin, shared_tokens=settings.shared_tokens,
            token_rows=settings.token_rows, most_pairs=settings.most_pairs, within=settings.within,
        )  # fmt: skip
    else:
        given = _integers(pairs, ("left", "right"), ("label",))
        candidates = given[:, :2]
        _rows_there(pairs, candidates, frame.height)
        labels = given[:, 2] if given.shape[1] > 2 else None
        if labels is not None and (wrong := np.abs(labels) > 1).any():
            row = int(wrong.argmax())
            raise UserError(f"{pairs}, row {row}: label is {labels[row]}; expected 1, 0 or -1")
    found = run_matching(
        frame, candidates, source=origin, labels=labels, settings=settings, seed=seed,
        blocked=pairs is None, quiet=quiet,
    )  # fmt: skip
    write(
        pl.DataFrame(
            {
                "left": found.pairs[:, 0], "right": found.pairs[:, 1], "score": found.score,
                "probability": found.probability, "match": found.match,
            }
        ),
        out,
    )  # fmt: skip
    if found.note:
        tell(found.note)
    typer.echo(f"{int(found.match.sum())} of {len(found.match)} pairs match: {out}")


@app.command()
def group(
    data: Annotated[Path, typer.Option("--data", help="Table of left, right[, probability].")],
    rows: Annotated[int, typer.Option(min=1, help="How many rows there are.")],
    out: File,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
) -> None:
    """Sets of rows from pairs that match (probability above the threshold)."""
    settings = load_settings(TablesSettings, config, overrides or [])
    import numpy as np
    import polars as pl

    from nearfar_tables.grouping import group as run_grouping
    from nearfar_tables.readers import read
    from nearfar_tables.writers import write

    pairs = _integers(data, ("left", "right"), ())
    frame = read(data).frame
    weights = np.ones(len(pairs))
    if "probability" in frame.columns:
        weights = _cast(data, frame, "probability", pl.Float64).fill_null(0.0).to_numpy()
        if (wrong := ~np.isfinite(weights)).any():
            row = int(wrong.argmax())
            raise UserError(f"{data}, row {row}: probability is {weights[row]}; expected 0 to 1")
    _rows_there(data, pairs, rows)
    yes = weights > settings.threshold
    sets = run_grouping(rows, pairs[yes], weights[yes], settings.groups, seed)
    write(pl.DataFrame({"row": np.arange(rows), "set": sets}), out)
    typer.echo(f"{int(sets.max()) + 1} sets of {rows} rows: {out}")


@app.command()
def resolve(
    data: Table,
    out: File,
    sets: Annotated[
        str,
        typer.Option(
            help="Column that says which thing a row is about, or the file that group wrote."
        ),
    ],
    source: SourceColumn = None,
    provenance: Annotated[Path | None, typer.Option(help="File for the grounds.")] = None,
    judge: JudgeOption = None,
    server_model: Model = None,
    key_env: KeyEnv = None,
    cache: Cache = None,
    budget: Budget = None,
    dry_run: Annotated[bool, typer.Option(help="Show what would be asked; ask nothing.")] = False,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
) -> None:
    """One row a set, each conflict decided."""
    settings = load_settings(TablesSettings, config, overrides or [])
    import numpy as np
    import polars as pl

    from nearfar_tables.report import by_whom
    from nearfar_tables.resolution import ranks
    from nearfar_tables.resolution import resolve as run_resolution
    from nearfar_tables.writers import write

    frame, origin, whose = _rows_and_source(data, source)
    if sets not in frame.columns:
        frame, sets = frame.with_columns(_grouped(data, sets, frame)), "set"
    if frame[sets].null_count():
        row = int(frame[sets].is_null().arg_max() or 0)
        raise UserError(f"{data}, row {row}: {sets} is empty; expected the name of a set")
    _, first, number = np.unique(
        _cast(data, frame, sets, pl.String).to_numpy(), return_index=True, return_inverse=True
    )
    rank = np.argsort(np.argsort(first))
    names = frame[sets].gather(np.sort(first).tolist())
    rows = frame.drop(sets)
    trusted = None
    if settings.priority:
        if whose is None:
            raise UserError("priority: names tables; expected --source, the column of their names")
        trusted = ranks(whose, settings.priority)
    found = run_resolution(
        rows, rank[number], source=origin, method=settings.resolver, rank=trusted, seed=seed
    )
    if judge is not None or dry_run:
        from nearfar_tables.conflicts import decide, estimate, questions_of

        asked = questions_of(
            found, demonstrations=settings.demonstrations, least=settings.least_nats,
            selection=settings.selection, seed=seed,
        )  # fmt: skip
        if dry_run:
            whole = estimate(asked)
            typer.echo("\n\n".join(printable_lines(question.prompt()) for question in asked[:3]))
            typer.echo(f"{whole.prompts} prompts, about {whole.tokens} tokens; nothing was asked")
            return
        judging = _judge(judge, server_model, key_env, cache, budget)
        assert judging is not None
        found, counts = decide(found, rows, rank[number], asked, judging)
        typer.echo("; ".join(f"{why}: {count}" for why, count in counts.items()))
    write(pl.concat([names.to_frame(), found.table], how="horizontal"), out)
    if provenance is not None:
        write(found.cells, provenance)
    typer.echo(
        f"{found.conflicts.height} conflicts decided in {len(names)} sets"
        f"{by_whom(found.conflicts)}: {out}"
    )


@app.command()
def bench(
    data: Data,
    out: Out = Path("runs/bench-tables"),
    profile: ProfileName = "cpu",
    parts: Annotated[
        str | None,
        typer.Option(
            help="Of matching; conflicts; noise; whole; published; scale. Default: all but scale."
        ),
    ] = None,
    methods: Methods = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this set of pairs.")] = None,
    rows: Annotated[int, typer.Option(min=1000, help="Of the part scale.")] = 1_000_000,
    processes: Processes = None,
    config: Config = None,
    overrides: Overrides = None,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Matching without labels, its ablations and peers; conflicts; noise; whole lakes; scale."""
    from rich.console import Console

    from nearfar_tables.bench import Ask, run_bench
    from nearfar_tables.bench.matching import left_out
    from nearfar_tables.profiles import PROFILES

    chosen = profile_of(PROFILES, profile)
    settings = load_settings(TablesSettings, config, overrides or [], base=chosen.settings)
    run, metrics = begin("tables", "bench", out, settings, resume=resume, packages=TOLD)
    ask = Ask(
        root=data, folder=run.checkpoint / "jobs", settings=settings, methods=_names(methods),
        seeds=seeds or chosen.seeds, dataset=dataset or (None if parts else chosen.dataset),
        rows=rows, processes=processes_of(processes), quiet=quiet,
    )  # fmt: skip
    wanted = _names(parts) or (chosen.parts if dataset is None else ("matching",))
    for table in run_bench(ask, wanted, run, metrics):
        Console().print(table.terminal())
    for line in left_out():
        typer.echo(line, err=True)
    end(run)


def main() -> None:
    run_app(app)


def _names(given: str | None) -> list[str] | None:
    return [name.strip() for name in given.split(";")] if given else None


def _no_run(out: Path, resume: bool) -> None:
    """Before hours of work, not after it. One that was stopped while its files were written can go
    on; one that is done cannot."""
    from nearfar_tables.workplace import place_of

    stopped = place_of(out).exists()
    if (out / "settings.yaml").exists() and not (stopped and resume):
        what, hint = ("stopped", ", or --resume") if stopped else ("finished", "")
        raise UserError(f"--out {out}: holds a {what} run; expected a new folder{hint}")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file; expected a folder")


def _known_ending(ending: str) -> None:
    if ending not in ("csv", "parquet"):
        raise UserError(f"--ending {ending}: expected csv or parquet")


def _leave(
    run: RunFolder, metrics: Metrics, lake: Lake, sources: Sequence[SourceTable], result: Result,
    ending: str, notes: list[str],
) -> None:  # fmt: skip
    """The files and the page of an integration, and what goes on from it."""
    from nearfar_tables.report import counted, in_short, integration_report, ties
    from nearfar_tables.writers import write

    for name in ("table", "sets", "pairs", "conflicts", "provenance"):
        write(_frame(getattr(result, name)), run.path / f"{name}.{ending}")
    lake.save(run.path / LAKE)
    tell(*result.mended, *notes, *ties(result))
    metrics.add(counted(result, lake.seed))
    metrics.write(run.metrics)
    integration_report(run, metrics, lake, sources, result, notes=notes)
    typer.echo(in_short(result))
    end(run)


def _apart(sources: Sequence[SourceTable], columns: dict[str, dict[str, str]]) -> list[str]:
    from nearfar_tables.alignment import align, left_apart

    apart = left_apart(sources, align(sources, columns))
    if not apart:
        return []
    options = " ".join(column.option for column in apart)
    return [
        *map(str, apart),
        "rows were matched all the same, by the columns that are one; to take all of this, run the "
        f"same with a new --out and {options}",
    ]


def _lake(model: Path) -> Lake:
    """What integrate or update has left in a run folder."""
    from nearfar_tables.lake import Lake

    if not (model / LAKE).is_dir():
        raise UserError(
            f"--model {model}: holds no integrated tables; expected the run folder of integrate or "
            "update"
        )
    return Lake.load(model / LAKE)


def _rows_there(path: Path, pairs: NDArray[np.int64], height: int) -> None:
    """Raises UserError for the first pair of a file whose rows are not there."""
    outside = (pairs < 0) | (pairs >= height)
    if outside.any():
        row, side = divmod(int(outside.argmax()), 2)
        name, number = ("left", "right")[side], pairs[row, side]
        raise UserError(f"{path}, row {row}: {name} is {number}; expected 0 to {height - 1}")


def _judge(
    judge: str | None, model: str | None, key_env: str | None, cache: Path | None,
    budget: int | None,
) -> Judge | None:  # fmt: skip
    if judge is None:
        return None
    from nearfar_tables.conflicts.choice import judge_of

    return judge_of(judge, model=model, key_env=key_env, cache=cache, budget=budget)


def _alignment(given: list[str] | None) -> dict[str, dict[str, str]]:
    columns: dict[str, dict[str, str]] = {}
    for item in given or []:
        left, equals, name = item.partition("=")
        table, dot, column = left.partition(".")
        if not (equals and dot and table and column and name):
            raise UserError(f"--align {item}: expected table.column=name")
        columns.setdefault(table, {})[column] = name
    return columns


def _rows_and_source(
    path: Path, source: str | None
) -> tuple[pl.DataFrame, NDArray[np.int64] | None, pl.Series | None]:
    """A table without its source column, and that column as numbers and as names."""
    import numpy as np
    import polars as pl

    from nearfar_tables.readers import read

    frame = read(path).frame
    if source is None:
        return frame, None, None
    if source not in frame.columns:
        raise UserError(f"{path}: no column {source!r}; expected one of {', '.join(frame.columns)}")
    names = _cast(path, frame, source, pl.String).fill_null("")
    return frame.drop(source), np.unique(names.to_numpy(), return_inverse=True)[1], names


def _grouped(data: Path, sets: str, frame: pl.DataFrame) -> pl.Series:
    """The column ``set`` of a frame from the table of row and set that ``group`` wrote."""
    import numpy as np
    import polars as pl

    file = Path(sets)
    if not file.is_file():
        raise UserError(
            f"--sets {sets}: is no column of {data} and no file; expected one of "
            f"{', '.join(frame.columns)}, or what group wrote"
        )
    if "set" in frame.columns:
        raise UserError(f"{data}: has a column set of its own; expected none beside --sets {sets}")
    given = _integers(file, ("row", "set"), ())
    if not np.array_equal(np.sort(given[:, 0]), np.arange(frame.height)):
        raise UserError(
            f"{file}: names {len(given)} rows; expected each of {data}'s rows 0 to "
            f"{frame.height - 1} once"
        )
    return pl.Series("set", given[np.argsort(given[:, 0]), 1])


def _integers(path: Path, needed: tuple[str, ...], optional: tuple[str, ...]) -> NDArray[np.int64]:
    """Columns of whole numbers [rows, columns]; UserError names the first row that has none."""
    import numpy as np
    import polars as pl

    from nearfar_tables.readers import read

    frame = read(path).frame
    names = [*needed, *(name for name in optional if name in frame.columns)]
    for name in needed:
        if name not in frame.columns:
            raise UserError(f"{path}: no column {name!r}; it has {', '.join(frame.columns)}")
    columns = []
    for name in names:
        numbers = _cast(path, frame, name, pl.Int64)
        if numbers.null_count():
            row = int(numbers.is_null().arg_max() or 0)
            raise UserError(f"{path}, row {row}: {name} is {frame[name][row]!r}; expected a number")
        columns.append(numbers.to_numpy())
    return np.stack(columns, axis=1).astype(np.int64)


def _cast(path: Path, frame: pl.DataFrame, name: str, to: type[pl.DataType]) -> pl.Series:
    """A column as text or numbers, NULL what is none; UserError where it is of lists, say."""
    import polars as pl

    try:
        return frame[name].cast(to, strict=False)
    except pl.exceptions.PolarsError:
        kind = str(frame[name].dtype)[:60]
        raise UserError(f"{path}: {name} is of {kind}; expected text or numbers") from None


def _frame(table: object) -> pl.DataFrame:
    """A result's table as polars has it, whatever kind went in."""
    from nearfar_tables.readers import read

    return read(table).frame


if __name__ == "__main__":
    main()
