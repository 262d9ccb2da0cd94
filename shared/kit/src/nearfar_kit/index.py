"""One page over several runs: what each compared, its first table and its first picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from nearfar_kit.report import Report, opening

__all__ = ["write_index"]


def write_index(path: Path, title: str, subtitle: str, reports: Sequence[Path]) -> None:
    """Writes the page; it holds pictures itself, and links to the reports beside it."""
    page = Report(title, subtitle)
    for report in reports:
        for part in opening(report):
            page.parts.append(part.replace("h2>", "h3>").replace("h1>", "h2>"))
        link = escape(str(report.relative_to(path.parent)), quote=True)
        page.parts.append(f'<p><a href="{link}">The whole report</a></p>')
    page.write(path)
