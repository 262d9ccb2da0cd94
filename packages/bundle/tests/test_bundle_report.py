"""What a report says beside its pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nearfar_bundle import report as module
from nearfar_bundle.report import comparison, training_curve
from nearfar_kit.metrics import Record
from nearfar_kit.report import Report
from nearfar_kit.run import RunFolder


@pytest.fixture
def drawn(monkeypatch):
    """What was drawn: the words of ``lines`` and ``bars``, and their series."""
    found = []

    def draw(path, x, series, **words):
        path.touch()
        found.append((list(x), dict(series), words))

    monkeypatch.setattr(module.plots, "lines", draw)
    monkeypatch.setattr(module.plots, "bars", draw)
    return found


@pytest.fixture
def captions(monkeypatch):
    found = []
    monkeypatch.setattr(Report, "figure", lambda self, path, caption: found.append(caption))
    return found


def test_the_epoch_that_was_kept_is_marked(builder, tmp_path, drawn, captions):
    values = [(0.1, 0.1), (0.4, 0.1), (0.3, 0.3), (0.5, 0.0)]
    history = [
        {"epoch": float(2 * n), "recall@20": recall, "ndcg@20": ndcg}
        for n, (recall, ndcg) in enumerate(values)
    ]
    run = RunFolder(tmp_path, builder.settings)
    training_curve(Report("x", "y"), run, replace(builder, history=history))
    ((epochs, _, words),) = drawn
    assert epochs == [0, 2, 4, 6]
    assert words["chosen"] == (4, "kept, epoch 4")
    assert words["y_label"] == "measure on the validation part"
    assert "of epoch 4, is kept" in captions[0]


@pytest.mark.parametrize(("methods", "told"), [(11, True), (8, False)])
def test_a_chart_of_some_methods_says_so(tmp_path, drawn, captions, methods, told):
    records = [
        Record("shop", "split=0,missing=0", f"m{n}", 0, name, n / 20, 5)
        for n in range(methods)
        for name in ("recall@20", "ndcg@20")
    ]
    comparison(tmp_path, records, Report("x", "y"))
    ((_, series, words),) = drawn
    assert list(series) == [f"m{n}" for n in range(methods - 8, methods)]
    shown = "the 8 of 11 methods of highest recall"
    assert words["title"] == (f"shop: {shown}" if told else "shop")
    assert (f"{shown}, the table has all" in captions[0]) == told
