"""``nearfar-dna``: demo, simulate, train, evaluate, embed, cluster, classify, bin, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nearfar_dna.settings import DnaSettings
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
from nearfar_kit.layouts import set_name
from nearfar_kit.printable import printable
from nearfar_kit.settings import load_settings
from nearfar_kit.verb import begin, device_of, end, simulated

app = new_app("Species-aware DNA embedding: cluster, classify with few labels, bin (DNABERT-S).")

TOLD = ("numpy", "scikit-learn", "biopython")
Model = Annotated[
    Path,
    typer.Option(
        "--model", help="Run folder that train has left, or a folder of DNABERT-2 or DNABERT-S."
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="TSV of id and species, or for a folder of genomes of file and species; without it "
        "species are read from headers or the files' names.",
    ),
]
MinLength = Annotated[int, typer.Option(min=1, help="Sequences of fewer bases are left out.")]
TableFile = Annotated[Path, typer.Option("--out", help="The TSV file to write.")]

# torch and scikit-learn take seconds to import: each verb imports what it needs.


@app.command()
def demo(
    out: Out = Path("runs/demo-dna"),
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """A minute on simulated genomes: a learnt embedding against composition, and a report."""
    from rich.console import Console

    from nearfar_dna.demo import DEMO, run_demo

    settings = load_settings(DnaSettings, config, overrides or [], base=DEMO.model_dump())
    run, metrics = begin("dna", "demo", out, settings, seed=seed, resume=resume, packages=TOLD)
    Console().print(run_demo(run, metrics, settings, seed, quiet).terminal())
    end(run)


@app.command()
def simulate(out: Out = Path("runs/fragments"), seed: Seed = 0) -> None:
    """Simulated genomes, and contigs of other species, to try the other verbs on."""
    from nearfar_dna.simulate import write_simulated

    simulated(write_simulated, out, seed, "nearfar dna train --data {}/genomes --out runs/dna")


@app.command()
def train(
    data: Data,
    out: Out = Path("runs/dna"),
    labels: Labels = None,
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Learn an embedding from genomes whose species are known."""
    settings = load_settings(DnaSettings, config, overrides or [])
    from nearfar_dna.fragments import draw_fragments
    from nearfar_dna.genomes import read_genomes
    from nearfar_dna.report import embedding_picture
    from nearfar_dna.train import train as run_training
    from nearfar_kit.launch import launch
    from nearfar_kit.report import Report, end_report

    genomes = read_genomes(data, labels, min_length=settings.min_length)
    fabric = launch(device_of(device))
    if fabric.is_global_zero:
        _count(genomes)
    run, metrics = begin(
        "dna", "train", out, settings, device=device, seed=seed, resume=resume, packages=TOLD
    )
    model = run_training(genomes, settings, seed, run=run, fabric=fabric, quiet=quiet)
    if fabric.is_global_zero:
        if model.keys is not None:
            run.log("pretrained", keys=model.keys.lines())
            told = printable("; ".join(model.keys.lines()))
            typer.echo(f"{model.settings.pretrained}: {told}", err=True)
        report = Report(
            "An embedding of DNA",
            f"{settings.method} on {genomes.counted}.",
        )
        shown = genomes.of_species(genomes.names[:20])
        fragments, species = draw_fragments(shown, 20, 5000, seed)
        picture = embedding_picture(
            run.path / "embedding.png", model.embed(fragments), species, shown.names,
            "Fragments of 5 kb, species trained on",
        )  # fmt: skip
        report.section("What was learnt")
        report.figure(
            picture,
            "t-SNE of fragments of up to 20 species that were trained on. It tells nothing of "
            "species that are new: evaluate tests those.",
        )
        end_report(report, run, metrics)
        typer.echo(
            f"trained: {settings.steps} steps of {settings.method}; nothing was held out, "
            f"evaluate --model {out} tests it on other genomes"
        )
        end(run)


@app.command()
def evaluate(
    model: Model,
    data: Data,
    out: Out = Path("runs/dna-evaluation"),
    labels: Labels = None,
    length: Annotated[
        int,
        typer.Option(
            min=100, help="Bases of each fragment that is cut from the genomes to test on."
        ),
    ] = 5000,
    errors: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.5,
            help="Share of bases of a fragment that are read wrongly: 0.05 is one in 20.",
        ),
    ] = 0.0,
    per_species: Annotated[
        int, typer.Option(min=12, help="So many fragments of each species are tested.")
    ] = 100,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    quiet: Quiet = False,
) -> None:
    """A trained model and z-scored canonical TNF on genomes: clusters, few labels, bins."""
    from rich.console import Console

    from nearfar_dna.baselines import BASELINES, TARGET
    from nearfar_dna.evaluate import (
        MEASURES,
        behind,
        binned_species,
        cluster_scores,
        few_shot_f1,
    )
    from nearfar_dna.fragments import draw_fragments
    from nearfar_dna.genomes import read_genomes
    from nearfar_dna.report import embedding_picture
    from nearfar_kit.metrics import Record, split_key
    from nearfar_kit.report import Report, end_report
    from nearfar_kit.table import Cell, Table, summarise

    trained = _load(model, device)
    genomes = read_genomes(data, labels, min_length=trained.settings.min_length)
    _count(genomes)
    if len(genomes.names) < 2:
        raise UserError(f"{data}: one species only ({genomes.names[0]}); expected two or more")
    seen, species_seen = trained.known(genomes)
    if species_seen or seen:
        tell(
            f"trained on: {len(seen)} of these genomes, {len(species_seen)} of these "
            f"{len(genomes.names)} species (by their names: {_some(species_seen)}); scores tell "
            "nothing of what is new there"
        )
    fragments, species = draw_fragments(genomes, per_species, length, seed, errors)
    run, metrics = begin("dna", "evaluate", out, trained.settings, seed=seed, packages=TOLD)
    rows = {"trained": trained.embed(fragments), TARGET: BASELINES[TARGET](fragments, seed)}
    scores: dict[str, dict[str, float]] = {}
    shown: list[list[Cell | str]] = []
    for method, own in rows.items():
        found = cluster_scores(own, species, seed) | {
            f"f1@{shots}": few_shot_f1(own, species, shots, seed) for shots in (1, 2, 5, 10)
        } | binned_species(own, species)  # fmt: skip
        split = split_key(length=length, errors=errors)
        metrics.add(
            Record(set_name(data), split, method, seed, name, value, len(species))
            for name, value in found.items()
        )
        scores[method] = found
        shown.append([method, *(summarise([value]) for value in found.values())])
    known = f", {len(species_seen)} of them trained on" if species_seen else ""
    caption = f"{len(genomes.names)} species{known}, {length} bp."
    table = Table(caption, ["method", *scores[TARGET]], shown)
    worse = behind(scores["trained"], scores[TARGET], TARGET)
    report = Report("A trained embedding of DNA", f"on {data}")
    report.section("Against composition", *([f"Here {worse}."] if worse else []))
    report.table(table)
    report.section("The measures", *MEASURES)
    path = run.path / "embedding.png"
    embedding_picture(path, rows["trained"], species, genomes.names, "Fragments by species")
    report.figure(path, "t-SNE of the fragments in the trained embedding, by species.")
    end_report(report, run, metrics)
    Console().print(table.terminal())
    if worse:
        typer.echo(worse)
    end(run)


@app.command()
def embed(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="File to write, .npy or .parquet.")],
    min_length: MinLength = 1000,
    device: DeviceOption = "auto",
    quiet: Quiet = False,
) -> None:
    """Rows of sequences in FASTA or FASTQ, plain or gzip."""
    if out.suffix.lower() not in (".npy", ".parquet"):
        raise UserError(f"--out {out}: ends in {out.suffix!r}; expected .npy or .parquet")
    from nearfar_dna.embed import embed_to

    tally = embed_to(_load(model, device), data, out, min_length, quiet=quiet)
    typer.echo(f"{tally.kept} sequences embedded: {out}")
    _tell(tally, min_length)


@app.command()
def cluster(
    model: Model,
    data: Data,
    out: TableFile,
    clusters: Annotated[
        int | None,
        typer.Option(min=1, help="How many clusters to make; without it the number is looked for."),
    ] = None,
    min_length: MinLength = 1000,
    device: DeviceOption = "auto",
    seed: Seed = 0,
) -> None:
    """Sequences into clusters by K-means; how many is looked for where it is not given."""
    import polars as pl

    from nearfar_dna.clustering import k_means
    from nearfar_dna.embed import embed_file

    table, rows, tally = embed_file(_load(model, device), data, min_length)
    if clusters is not None and clusters > len(rows):
        raise UserError(
            f"--clusters {clusters}: {data} has {len(rows)} sequences of {min_length} bases and "
            f"more; expected at most {len(rows)}"
        )
    found = k_means(rows, clusters, seed)
    _write(table.with_columns(pl.Series("cluster", found)), out)
    made = len(set(found.tolist()))
    typer.echo(f"{len(found)} sequences in {made} clusters: {out}")
    if clusters is not None and made < clusters:
        tell(f"{clusters} clusters were asked for; {clusters - made} of them got no sequence")
    _tell(tally, min_length)


@app.command()
def classify(
    model: Model,
    data: Data,
    labelled: Annotated[
        Path,
        typer.Option(
            help="FASTA of sequences whose species are known: after the id, or by --labels."
        ),
    ],
    out: TableFile,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="TSV of id and species of the labelled sequences; without it the header after the "
            "id is the species."
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="prototypes: the species whose labelled sequences are nearest on average; probe: "
            "logistic regression on the labelled sequences."
        ),
    ] = "prototypes",
    unknown: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="A sequence whose probability is below this is called unknown; 0 names all.",
        ),
    ] = 0.5,
    min_length: MinLength = 1000,
    device: DeviceOption = "auto",
) -> None:
    """The species of sequences from a handful of labelled ones each."""
    if method not in ("prototypes", "probe"):
        raise UserError(f"--method {method}: expected prototypes or probe")
    from nearfar_dna.classify import classify as run_classify
    from nearfar_dna.classify import labelled_rows
    from nearfar_dna.embed import embed_file

    trained = _load(model, device)
    known, names, notes = labelled_rows(trained, labelled, labels, min_length)
    typer.echo(f"{labelled}: {len(names)} sequences of {len(set(names))} species")
    tell(*notes)
    table, rows, tally = embed_file(trained, data, min_length)
    found = run_classify(known, names, rows, method, unknown)
    _write(table.hstack(found), out)
    typer.echo(f"{len(rows)} sequences classified: {out}")
    _tell(tally, min_length)


@app.command("bin")
def bin_(
    model: Model,
    data: Data,
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder to write, new: bins.tsv, bins/N.fna, unbinned.fna."),
    ],
    method: Annotated[
        str,
        typer.Option(
            help="How bins are found: medoid, the paper's, around the densest contigs; dbscan or "
            "leiden, chains of near contigs."
        ),
    ] = "medoid",
    threshold: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            help="Contigs are near each other from this cosine on; without it, it is looked for.",
        ),
    ] = None,
    abundance: Annotated[
        Path | None,
        typer.Option(help="TSV or CSV of id and depth in each sample, or MetaBAT's depth.txt."),
    ] = None,
    min_length: MinLength = 2500,
    device: DeviceOption = "auto",
    min_bin_size: Annotated[
        int,
        typer.Option(
            min=0, help="A bin of fewer bases is given up, and its contigs go to unbinned.fna."
        ),
    ] = 200_000,
    sample: Annotated[
        str, typer.Option(help="The sample's name that is written into bins.tsv.")
    ] = "sample",
    seed: Seed = 0,
) -> None:
    """Contigs into bins: a CAMI/AMBER TSV, a FASTA a bin, and what is unbinned."""
    from nearfar_dna.write_bins import bin_file

    if method not in ("medoid", "dbscan", "leiden"):
        raise UserError(f"--method {method}: expected medoid, dbscan or leiden")
    told, tally = bin_file(
        _load(model, device), data, out, method=method, threshold=threshold, abundance=abundance,
        min_length=min_length, min_bin_size=min_bin_size, sample=sample, seed=seed,
    )  # fmt: skip
    typer.echo(told)
    _tell(tally, min_length)


@app.command()
def bench(
    data: Data,
    out: Out = Path("runs/bench-dna"),
    profile: ProfileName = "cpu",
    methods: Methods = None,
    splits: Annotated[
        str | None,
        typer.Option(help="Some of species, strain and validation; default: the first two."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds.")] = None,
    processes: Processes = None,
    config: Config = None,
    overrides: Overrides = None,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Trained embeddings against compositions on species and strains never seen."""
    from dataclasses import replace

    from rich.console import Console

    from nearfar_dna.bench import METHODS, PROFILES, SPLITS, compare
    from nearfar_dna.report import write_comparison
    from nearfar_kit.report import Report, end_report

    chosen = profile_of(PROFILES, profile)
    settings = load_settings(DnaSettings, config, overrides or [], base=chosen.settings)
    names = methods_of(methods, METHODS, METHODS)
    if splits is not None:
        asked = tuple(name.strip() for name in splits.split(";"))
        if not set(asked) <= set(SPLITS):
            raise UserError(f"--splits {splits}: expected some of {'; '.join(SPLITS)}")
        chosen = replace(chosen, splits=asked)
    run, metrics = begin("dna", "bench", out, settings, resume=resume, packages=TOLD)
    metrics.add(
        compare(
            set_name(data), data, run.checkpoint / "jobs", settings, chosen, names,
            seeds or chosen.seeds, processes=processes_of(processes), quiet=quiet,
        )
    )  # fmt: skip
    report = Report(
        "DNA embeddings against composition",
        "Species by turns in two folds, each tested by models that never saw it.",
    )
    metrics.write(run.metrics)
    for table in write_comparison(run.path, metrics, report):
        Console().print(table.terminal())
    end_report(report, run, metrics)
    end(run)


def main() -> None:
    run_app(app)


def _load(model: Path, device: str) -> Any:
    from nearfar_dna.model import DnaModel
    from nearfar_kit.launch import launch

    where = device_of(device)
    loaded = DnaModel.load(model)
    loaded.encoder.to(launch(where).device)
    if loaded.keys is not None:
        typer.echo(f"{model}: {printable('; '.join(loaded.keys.lines()))}", err=True)
    return loaded


def _count(genomes: Any) -> None:
    """How many genomes of how many species were read, and what was taken for granted."""
    typer.echo(genomes.counted)
    tell(*genomes.notes)


def _some(names: list[str]) -> str:
    """The first names of many."""
    return ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])]) or "none"


def _write(table: Any, path: Path) -> None:
    from nearfar_kit.atomic import replacing
    from nearfar_kit.spreadsheet import formula_safe

    with replacing(path) as beside:
        formula_safe(table).write_csv(beside, separator="\t")


def _tell(tally: Any, min_length: int) -> None:
    """What was left out; a mistake in the file is told after what could be read is written."""
    for line in tally.lines(min_length):
        typer.echo(printable(line), err=True)
    if tally.mistake:
        raise UserError(f"{tally.mistake}; the {tally.kept} sequences that are well are written")


if __name__ == "__main__":
    main()
