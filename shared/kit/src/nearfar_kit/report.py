"""``report.html``: one self-contained page of text, facts, tables and pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from itertools import takewhile
from pathlib import Path

from nearfar_kit.atomic import write_atomic
from nearfar_kit.metrics import Metrics
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Cell, Table

__all__ = ["Report", "end_report", "facts", "opening", "write_tables"]

PART = "\n<!-- part -->\n"
TABLE = '<div class="wide">'
STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #dde2e8; --paper: #fff;
  --tint: #eef4f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa5b4; --line: #333c48;
  --paper: #14181e; --tint: #1d2733; } }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.2rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
p.sub, figcaption, dt { color: var(--soft); }
p.sub { margin-top: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: 1rem 0; }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; }
th, td { padding: .28rem .8rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.best { font-weight: 650; background: var(--tint); }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; border-radius: 6px; background: #fff; }
"""


class Report:
    """Parts are added in order and written at the end. All text is escaped."""

    def __init__(self, title: str, subtitle: str) -> None:
        self.title = title
        self.parts = [f"<h1>{escape(title)}</h1>", f'<p class="sub">{escape(subtitle)}</p>']

    def section(self, heading: str, *paragraphs: str) -> None:
        self.parts.append(f"<h2>{escape(heading)}</h2>")
        self.parts.extend(f"<p>{escape(text)}</p>" for text in paragraphs)

    def facts(self, facts: Mapping[str, object]) -> None:
        rows = "".join(
            f"<dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items()
        )
        self.parts.append(f"<dl>{rows}</dl>")

    def table(self, table: Table) -> None:
        best = table.best()
        head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
        body = "".join(
            "<tr>"
            + "".join(
                f"<td{' class=best' if (r, c) in best else ''}>{escape(_text(cell))}</td>"
                for c, cell in enumerate(row)
            )
            + "</tr>"
            for r, row in enumerate(table.rows)
        )
        self.parts.append(
            f"{TABLE}<table><caption>{escape(table.caption)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def figure(self, png: Path, caption: str) -> None:
        data = base64.b64encode(png.read_bytes()).decode()
        self.parts.append(
            f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )

    def write(self, path: Path) -> None:
        write_atomic(
            path,
            '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style>\n"
            + PART.join(["", *self.parts, "</html>\n"]),
        )


def _text(cell: Cell | str) -> str:
    return str(cell)


def opening(page: Path) -> list[str]:
    """The parts of a written report up to its first table, and its first picture, as HTML."""
    parts = page.read_text(encoding="utf-8").split(PART)[1:-1]
    kept = list(takewhile(lambda part: not part.startswith(TABLE), parts))
    for begins in (TABLE, "<figure>"):
        kept += [part for part in parts if part.startswith(begins) and part not in kept][:1]
    return kept


def end_report(report: Report, run: RunFolder, metrics: Metrics) -> None:
    """Writes ``metrics.json``, and the report with how its figures were made."""
    metrics.write(run.metrics)
    report.section("How this was made")
    report.facts(facts(metrics))
    report.write(run.report)


def write_tables(path: Path, tables: Sequence[Table], metrics: Metrics) -> None:
    """``table.md``: tables in Markdown, and in its last line how their figures were made."""
    made = "; ".join(f"{what}: {found}" for what, found in facts(metrics).items())
    write_atomic(path, "\n".join([*(table.markdown() for table in tables), f"{made}.\n"]))


def facts(metrics: Metrics) -> dict[str, object]:
    """What a reader wants to know of how the figures were made."""
    versions = ", ".join(f"{name} {version}" for name, version in metrics.versions.items())
    since = " since it was resumed" if metrics.resumed else ""
    return {
        "date": metrics.date,
        "device": metrics.device,
        "loss path": metrics.loss_path,
        "time": f"{metrics.seconds:.0f} s{since}",
        "peak memory": f"{metrics.peak_memory_bytes / 2**20:.0f} MiB",
        "versions": versions,
        "settings": metrics.settings_hash,
    }
