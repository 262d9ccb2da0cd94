"""``nearfar``: one command over all installed domain packages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from nearfar_kit.command import Data, Quiet, Resume, new_app, run_app
from nearfar_kit.domains import Domain, installed_domains, named_domains

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
    """Train, evaluate and report on data that needs no download."""
    for domain in named_domains(names):
        arguments = ["demo", "--out", str(_fresh(out / f"demo-{domain.name}"))]
        _run(domain, arguments + ["--quiet"] * quiet)


@app.command()
def bench(
    data: Data,
    names: Names = None,
    out: Annotated[Path, typer.Option(help="Folder for the run folders.")] = Path("runs"),
    profile: Annotated[str, typer.Option(help="smoke, cpu or gpu.")] = "cpu",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """The papers' comparisons on real data: --data holds a folder a domain."""
    for domain in named_domains(names):
        arguments = ["bench", "--data", str(data / domain.name), "--profile", profile]
        arguments += ["--out", str(out / f"bench-{domain.name}")]
        arguments += ["--resume"] * resume + ["--quiet"] * quiet
        _run(domain, arguments)


@app.command()
def doctor() -> None:
    """Versions, devices, which path the losses take, and what is missing."""
    from nearfar_kit.doctor import findings

    table = Table("what", "found", show_header=False)
    for what, found in findings():
        table.add_row(what, found)
    Console().print(table)


def _run(domain: Domain, arguments: list[str]) -> None:
    status = domain.app()(arguments, standalone_mode=False)
    if status:
        raise typer.Exit(status)


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
        run_app(domains[arguments[0]].app(), arguments[1:])
    else:
        run_app(app, arguments)


if __name__ == "__main__":
    main()
