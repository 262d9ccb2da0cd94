"""On the real data sets, where they lie beside the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nearfar_har.data import windows_from
from nearfar_har.estimator import ActivityClassifier
from nearfar_har.selection import device_distances
from nearfar_har.settings import HarSettings

DATA = Path(__file__).parents[4] / "shared" / "data" / "har"
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.exists(), reason=f"needs {DATA.name} beside the repository"),
]


@pytest.fixture(scope="module")
def dsads():
    return windows_from(DATA / "dsads_int16.npz", HarSettings())


def test_dsads_is_whole(dsads):
    assert len(dsads) == 6 * 19 * 60 * 2  # subjects, activities, segments, windows of 2 s in 5 s
    assert dsads.present.all()
    assert (np.bincount(dsads.activity) == 720).all()
    acc = np.linalg.norm(dsads.signals[:, :, :3], axis=2)
    sitting = dsads.activity == dsads.activities.index("sitting")
    assert 9.3 < np.median(acc[sitting]) < 10.3  # m/s2: gravity


def test_selection_finds_the_devices_that_move_alike(dsads):
    import torch

    from nearfar_har.scale import Scale

    rows = np.random.default_rng(0).permutation(len(dsads))[:256]
    d = device_distances(
        Scale.of(dsads).apply(dsads.signals[rows]), torch.from_numpy(dsads.present[rows]), most=256
    )
    d.fill_diagonal_(torch.inf)
    nearest = {name: dsads.devices[int(d[i].argmin())] for i, name in enumerate(dsads.devices)}
    assert nearest["right_arm"] == "left_arm"
    assert nearest["left_arm"] == "right_arm"
    assert {nearest["right_leg"], nearest["left_leg"]} == {"right_leg", "left_leg"}


def test_geotecs_clocks_are_brought_together():
    windows = windows_from(DATA / "geotec_sp_sw.npz", HarSettings())
    assert len(windows.devices) == 2
    assert len(windows.subjects) == 18
    both = windows.present.all(1).mean()
    assert both > 0.5


def test_pre_training_helps_with_few_labels(dsads):
    """One subject held out, 1 % of labels; the benchmark says how much over all."""
    rest, held_out = dsads.split_by_subject(["p1"])
    scores = {}
    for pretext in ("none", "colossl"):
        made = ActivityClassifier(
            pretext=pretext, steps=150, labels=0.01, readout="probe", random_state=0
        )
        scores[pretext] = made.fit(rest).score(held_out)
    assert scores["colossl"] > scores["none"] + 0.03
