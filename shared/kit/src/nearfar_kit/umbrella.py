"""``nearfar``: one command over all installed domain packages."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from nearfar_kit.command import STOPPED, Data, Quiet, Resume, new_app, run_app
from nearfar_kit.domains import Domain, installed_domains, named_domains
from nearfar_kit.errors import UserError

app = new_app("Contrastive learning by domain. `nearfar DOMAIN VERB` runs a domain's own verbs.")

Names = Annotated[list[str] | None, typer.Argument(help="Domains; all where none is named.")]


@app.command("list")
def list_domains() -> None:
    """The installed domains, what they do and their verbs."""
    table = Table("domain", "version", "what it does", "verbs")
    for domain in installed_domains().values():
        try:
            verbs = ", ".join(domain.verbs())
        except Exception as error:  # one broken package must not hide the others
            verbs = f"cannot be loaded: {error}"
        table.add_row(domain.name, domain.version, domain.summary, verbs)
    Console().print(table)


@app.command()
def demo(
    names: Names = None,
    out: Annotated[Path, typer.Option(help="Folder for the run folders.")] = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Train, evaluate and report on data that needs no download; one page over all of them."""
    from nearfar_kit.index import write_index

    chosen = named_domains(names)
    reports: list[Path] = []
    for number, domain in enumerate(chosen, start=1):
        if not quiet:
            typer.echo(f"{number} of {len(chosen)}: {domain.name}, {domain.summary}", err=True)
        folder = _fresh(out / f"demo-{domain.name}")
        if status := _status(domain, ["demo", "--out", str(folder)] + ["--quiet"] * quiet):
            raise typer.Exit(status)
        reports.append(folder / "report.html")
        subtitle = "Demos on data that packages make or carry: that the methods work."
        write_index(out / "report.html", "nearfar", subtitle, reports)
    typer.echo(f"all of them: {out / 'report.html'}")


@app.command()
def bench(
    data: Data,
    names: Names = None,
    out: Annotated[Path, typer.Option(help="Folder for the run folders.")] = Path("runs"),
    profile: Annotated[
        str | None, typer.Option(help="smoke, cpu or gpu; default: the domain's own.")
    ] = None,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """The papers' comparisons on real data: --data holds a folder a domain.

    A domain whose data is at fault is told, and the others go on; --resume does what is left. All
    numbers come together in bench.json, all first tables in bench.html.
    """
    from nearfar_kit.atomic import write_atomic
    from nearfar_kit.index import write_index

    faults = []
    for domain in named_domains(names):
        arguments = ["bench", "--data", str(data / domain.name)]
        arguments += ["--out", str(out / f"bench-{domain.name}")]
        arguments += ["--profile", profile] if profile else []
        arguments += ["--resume"] * resume + ["--quiet"] * quiet
        try:
            status = _status(domain, arguments)
        except UserError as error:
            faults.append(f"{domain.name}: {error}")
            continue
        if status == STOPPED:
            raise typer.Exit(STOPPED)
        if status:
            faults.append(f"{domain.name}: ended with status {status}")
    reports = sorted(out.glob("bench-*/report.html"))
    if reports:
        runs = [json.loads((r.parent / "metrics.json").read_text("utf-8")) for r in reports]
        write_atomic(out / "bench.json", json.dumps(runs, indent=1) + "\n")
        write_index(out / "bench.html", "nearfar", "The papers' comparisons.", reports)
    if faults:
        raise UserError("; ".join(faults))


@app.command()
def doctor() -> None:
    """Versions, devices, which path the losses take, and what is missing."""
    from nearfar_kit.doctor import findings

    table = Table("what", "found", show_header=False)
    for what, found in findings():
        table.add_row(what, found)
    Console().print(table)


def _status(domain: Domain, arguments: list[str]) -> int:
    try:
        domain.app()(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _fresh(folder: Path) -> Path:
    """``folder``, or the first of folder-2, folder-3, ... that is free: a demo asks nothing."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def main() -> None:
    """Entry point: a first word that names a domain goes on to that domain's command line."""
    arguments = sys.argv[1:]
    domains = installed_domains()
    if arguments and arguments[0] in domains:
        run_app(domains[arguments[0]].app(), arguments[1:], f"nearfar {arguments[0]}")
    else:
        run_app(app, arguments)


if __name__ == "__main__":
    main()
