"""``nearfar-newdomain``: demo, simulate, train, evaluate, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nearfar_kit.bench import Methods, ProfileName, methods_of, profile_of
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
)  # fmt: skip
from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings
from nearfar_kit.verb import begin, end, simulated
from nearfar_newdomain.settings import NewDomainSettings

app = new_app("Things measured twice, told apart by what their measurements share.")

Model = Annotated[Path, typer.Option("--model", help="Run folder that train has left.")]

# torch takes seconds to import: each verb imports what it needs, so that --help and a mistake in
# the call answer at once.


@app.command()
def demo(
    out: Out = Path("runs/demo-newdomain"),
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Simulated measurements: contrast against the measurements as they are, and a report."""
    from nearfar_newdomain.demo import run_demo

    settings = load_settings(NewDomainSettings, config, overrides or [])
    run, metrics = begin("newdomain", "demo", out, settings, seed=seed, resume=resume)
    Console().print(run_demo(run, metrics, settings, seed, quiet).terminal())
    end(run)


@app.command()
def simulate(out: Out = Path("runs/measured"), seed: Seed = 0) -> None:
    """A simulated table of measurements, to try the other verbs on."""
    from nearfar_newdomain.simulate import write_simulated

    then = "nearfar newdomain train --data {}/measured.csv --out runs/newdomain"
    simulated(write_simulated, out, seed, then)


@app.command()
def train(
    data: Data,
    out: Out = Path("runs/newdomain"),
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Learn what measurements of one thing share."""
    settings = load_settings(NewDomainSettings, config, overrides or [])
    from nearfar_newdomain.readers import read
    from nearfar_newdomain.train import save_model
    from nearfar_newdomain.train import train as run_training

    measured = read(data)
    run, _ = begin("newdomain", "train", out, settings, seed=seed, resume=resume)
    encoder = run_training(measured, settings, seed, run=run, quiet=quiet)
    save_model(run.checkpoint / "model.safetensors", encoder)
    typer.echo(f"model: {run.path}")


@app.command()
def evaluate(model: Model, data: Data, out: Out = Path("runs/newdomain-evaluation")) -> None:
    """A trained model on labelled measurements of other things."""
    import torch

    from nearfar_kit.report import Report, end_report
    from nearfar_newdomain.bench import comparison
    from nearfar_newdomain.evaluate import scores
    from nearfar_newdomain.readers import read
    from nearfar_newdomain.train import load_model

    encoder, measured = load_model(model), read(data)
    if measured.columns != encoder.columns:
        raise UserError(f"{data}: has columns {measured.columns}; expected {encoder.columns}")
    with torch.no_grad():
        rows = {"as measured": torch.from_numpy(measured.values)}
        rows["nearfar"] = encoder(rows["as measured"])
    found = [r for name, own in rows.items() for r in scores(own, measured, data.stem, name, 0)]
    run, metrics = begin("newdomain", "evaluate", out, load_settings(NewDomainSettings))
    metrics.add(found)
    metrics.write(run.metrics)
    report = Report("Things measured twice", f"{model} on {data}.")
    Console().print(comparison(run, metrics.records, report).terminal())
    end_report(report, run, metrics)
    end(run)


@app.command()
def bench(
    data: Data,
    out: Out = Path("runs/bench-newdomain"),
    profile: ProfileName = "cpu",
    methods: Methods = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds.")] = None,
    config: Config = None,
    overrides: Overrides = None,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """The method against its baselines, on things never trained on."""
    from nearfar_kit.report import Report, end_report
    from nearfar_newdomain.bench import METHODS, compare, comparison
    from nearfar_newdomain.readers import read

    draws = profile_of({"smoke": 1, "cpu": 5, "gpu": 5}, profile)
    names = methods_of(methods, METHODS, METHODS)
    settings = load_settings(NewDomainSettings, config, overrides or [])
    measured = read(data)
    run, metrics = begin("newdomain", "bench", out, settings, resume=resume)
    metrics.add(compare(measured, data.stem, settings, names, seeds or draws, quiet=quiet))
    metrics.write(run.metrics)
    report = Report("Things measured twice", "Every method is tested on things never trained on.")
    Console().print(comparison(run, metrics.records, report).terminal())
    end_report(report, run, metrics)
    end(run)


def main() -> None:
    run_app(app)


if __name__ == "__main__":
    main()
