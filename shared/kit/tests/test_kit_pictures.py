"""Plots are pictures, and a report is one page that nothing in it can break."""

from __future__ import annotations

from contextlib import contextmanager
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from nearfar_kit import plots
from nearfar_kit.index import write_index
from nearfar_kit.report import Report
from nearfar_kit.table import Cell, Table

CELLS = [Cell(0.2, 0.1, 3), Cell(0.5, 0.0, 3)]


def ink(path) -> float:
    """Share of pixels that are not white."""
    with Image.open(path) as image:
        return float((np.asarray(image.convert("L")) < 250).mean())


def test_each_plot_draws_its_data(tmp_path):
    drawn = {
        "lines": plots.lines(
            tmp_path / "l.png", [0.01, 1], {"a": CELLS, "b": CELLS[::-1]},
            title="t", x_label="x", y_label="y", log_x=True, ticks=["1 %", "100 %"],
            emphasise=["a"],
        ),
        "bars": plots.bars(tmp_path / "b.png", ["g", "h"], {"a": CELLS}, title="t", y_label="y"),
        "confusion": plots.confusion_matrix(
            tmp_path / "c.png", np.array([[5, 0], [0, 0]]), ["a", "b"], title="t"
        ),
        "heatmap": plots.heatmap(tmp_path / "h.png", np.eye(3), ["a", "b", "c"], title="t"),
        "scatter": plots.scatter_by_class(
            tmp_path / "s.png", np.random.default_rng(0).random((60, 2)), np.arange(60) % 3,
            ["a", "b", "c"], title="t",
        ),
    }  # fmt: skip
    assert {name for name, path in drawn.items() if ink(path) < 0.01} == set()
    empty = plots.scatter_by_class(
        tmp_path / "e.png", np.zeros((0, 2)), np.zeros(0), ["a"], title="t"
    )
    assert ink(empty) < ink(drawn["scatter"])


@pytest.mark.parametrize(("x", "whole"), [([1, 2, 3], True), ([0.5, 1, 2], False)])
def test_whole_numbers_have_ticks_at_whole_numbers(tmp_path, monkeypatch, x, whole):
    """Epochs are never 1.5."""
    drawing, seen = plots._drawing, []

    @contextmanager
    def seeing(*given):
        with drawing(*given) as axes:
            yield axes
            seen.extend(axes.get_xticks())

    monkeypatch.setattr(plots, "_drawing", seeing)
    cells = [*CELLS, CELLS[0]]
    plots.lines(tmp_path / "l.png", x, {"a": cells}, title="t", x_label="epoch", y_label="y")
    assert len(seen) > 2
    assert all(float(tick).is_integer() for tick in seen) == whole


def test_what_was_chosen_is_marked(tmp_path, monkeypatch):
    seen, drawing = [], plots._drawing

    @contextmanager
    def seeing(*given):
        with drawing(*given) as axes:
            yield axes
            seen.extend(line for line in axes.lines if line.get_label() == "kept, epoch 2")

    monkeypatch.setattr(plots, "_drawing", seeing)
    words = {"title": "t", "x_label": "epoch", "y_label": "y"}
    plots.lines(tmp_path / "l.png", [1, 2], {"a": CELLS}, chosen=(2, "kept, epoch 2"), **words)
    (line,) = seen
    assert list(line.get_xdata()) == [2, 2]


def test_the_callers_style_is_left_alone(tmp_path):
    before = dict(mpl.rcParams)
    plots.bars(tmp_path / "b.png", ["g", "h"], {"a": CELLS}, title="t", y_label="y")
    assert dict(mpl.rcParams) == before


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.sources, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.text.append(data)


def test_a_page_of_its_own_and_nothing_runs_in_it(tmp_path):
    evil = '<script>alert(1)</script>"&'
    picture = plots.heatmap(tmp_path / "h.png", np.eye(2), ["a", "b"], title="t")
    report = Report(evil, evil)
    report.section(evil, evil)
    report.facts({evil: evil})
    report.table(Table(evil, [evil, "n"], [[evil, CELLS[0]], ["b", CELLS[1]]]))
    report.figure(picture, evil)
    report.write(tmp_path / "report.html")
    page = Page()
    page.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    # Title twice, subtitle, heading, paragraph, fact twice, caption, column, cell, figure.
    assert "".join(page.text).count(evil) == 11
    assert [s[:22] for s in page.sources] == ["data:image/png;base64,"]
    assert "0.500 ± 0.000" in page.text


def test_an_index_takes_each_report_up_to_its_first_table_and_picture(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "p.png")
    for name in ("a", "b"):
        report = Report(f"About {name}", "sub")
        report.section("What is compared", "<i>this</i>")
        for number in range(2):
            report.table(Table(f"table {name} {number}", ["x"], [[f"{name}{number}"]]))
            report.figure(tmp_path / "p.png", f"picture {name} {number}")
        (tmp_path / name).mkdir()
        report.write(tmp_path / name / "report.html")
    reports = [tmp_path / name / "report.html" for name in ("a", "b")]
    write_index(tmp_path / "all.html", "All", "of them", reports)
    page = (tmp_path / "all.html").read_text()
    for name in ("a", "b"):
        assert f"<h2>About {name}</h2>" in page
        assert f'href="{name}/report.html"' in page
        assert page.count(f"<caption>table {name} 0") == page.count(f"<td>{name}0") == 1
        assert f"table {name} 1" not in page
        assert f"picture {name} 1" not in page
    assert page.count("&lt;i&gt;this") == page.count("<img ") == 2
    assert page.count("<h1>") == 1
