"""The domain packages that are installed, found by the entry-point group ``nearfar.domains``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

import typer

from nearfar_kit.errors import UserError

__all__ = ["Domain", "installed_domains", "named_domains", "verbs_of"]

GROUP = "nearfar.domains"


@dataclass(frozen=True)
class Domain:
    """A domain package; loading its command line is put off until it is needed."""

    name: str
    version: str
    summary: str
    entry: EntryPoint

    def app(self) -> typer.Typer:
        app = self.entry.load()
        if not isinstance(app, typer.Typer):
            raise UserError(f"domain {self.name}: {self.entry.value} is no typer app")
        return app

    def verbs(self) -> list[str]:
        return verbs_of(self.app())


def verbs_of(app: typer.Typer) -> list[str]:
    """The names of an app's commands: given, or else their functions'."""
    return [
        command.name or command.callback.__name__
        for command in app.registered_commands
        if command.callback is not None
    ]


def installed_domains() -> dict[str, Domain]:
    """By name, in alphabetical order."""
    found = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        if entry.dist is not None:
            meta = entry.dist.metadata
            found[entry.name] = Domain(entry.name, meta["Version"], meta["Summary"], entry)
    return found


def named_domains(names: list[str] | None) -> list[Domain]:
    """The domains of those names; all where none is given."""
    domains = installed_domains()
    for name in names or []:
        if name not in domains:
            near = difflib.get_close_matches(name, domains, n=1)
            hint = f"the nearest is {near[0]}" if near else f"installed: {', '.join(domains)}"
            raise UserError(f"no domain {name}; {hint}")
    return [domains[name] for name in names] if names else list(domains.values())
