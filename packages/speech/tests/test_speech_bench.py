"""Methods, tables of a comparison, simulated words, the demo."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nearfar_kit.metrics import Metrics, Record
from nearfar_kit.report import Report
from nearfar_kit.run import RunFolder
from nearfar_speech import demo
from nearfar_speech.answers import Answer, records_of
from nearfar_speech.audio import read_audio
from nearfar_speech.bench import jobs_of
from nearfar_speech.comparison import PROFILES, write_comparison
from nearfar_speech.methods import BASELINE, METHODS
from nearfar_speech.settings import PRESETS, SpeechSettings
from nearfar_speech.simulate import INTENTS, ROOMS, simulate_clips
from nearfar_speech.tasks import Curriculum


def metrics_of(records):
    made = Metrics("speech", "bench", {"python": "3"}, "cpu", "streaming", "0")
    made.add(records)
    return made


def answers(*rows):
    """Of each row a task: (task, whether right) a clip."""
    return [[Answer(f"{n}.wav", t, f"i{n} _SEP word", f"i{n if ok else 9} _SEP word", -1.0)
             for n, (t, ok) in enumerate(row)] for row in rows]  # fmt: skip


class TestMethods:
    def test_every_method_is_a_setting_away(self):
        plain = SpeechSettings()
        for method in METHODS.values():
            assert isinstance(method.apply(plain), SpeechSettings)
        fine, er = (METHODS[name].apply(plain) for name in ("fine-tune", BASELINE))
        assert (fine.memory, fine.mm, fine.nspt) == (0, 0, 0)
        assert (er.memory, er.selection, er.nspt) == (plain.memory, "herding", 0)
        assert METHODS["COCONUT"].apply(plain) == plain
        changed = [m.apply(plain).model_dump_json() for m in METHODS.values() if not m.at_once]
        assert len(set(changed)) == len(changed)

    def test_offline_learns_all_at_once(self):
        curriculum = Curriculum("intent", (("a", "b"), ("c",)))
        assert METHODS["offline"].curriculum(curriculum).tasks == (("a", "b", "c"),)
        assert METHODS["COCONUT"].curriculum(curriculum) == curriculum

    def test_profiles_and_presets_are_settings(self):
        for profile in PROFILES.values():
            SpeechSettings(**profile.settings)
            assert jobs_of(profile.methods, 2)
        for preset in PRESETS.values():
            SpeechSettings(**preset)

    def test_jobs(self):
        jobs = jobs_of(list(METHODS), 3)
        assert len({job.file for job in jobs}) == len(jobs) == 3 * len(METHODS)


class TestComparison:
    @pytest.fixture
    def records(self):
        right, wrong = (0, True), (0, False)
        found = []
        for seed, er in ((0, [right, right]), (1, [right, wrong])):
            found += records_of(answers([right], [*er[:1], (1, True)]), "set", BASELINE, seed)
            found += records_of(answers([right], [wrong, (1, True)]), "set", "fine-tune", seed)
            found += records_of(answers([right, (0, er[1][1])]), "set", "offline", seed)
        return found

    def test_tables_and_plot(self, records, tmp_path):
        whole, gains = write_comparison(tmp_path, metrics_of(records), Report("t", "s"))
        assert list(whole.columns) == [
            "method", "average accuracy", "last accuracy", "backward transfer", "last WER",
        ]  # fmt: skip
        rows = {row[0]: row[1:] for row in whole.rows}
        assert [cell.mean for cell in rows["fine-tune"]] == [0.75, 0.5, -1.0, 0.0]
        assert [cell.mean for cell in rows[BASELINE]] == [1.0, 1.0, 0.0, 0.0]
        assert [cell.n for cell in rows["offline"]] == [0, 2, 0, 2]  # nothing to average or forget
        assert rows["offline"][1].mean == 0.75
        assert [row[0] for row in gains.rows] == ["fine-tune"]
        assert [cell.mean for cell in gains.rows[0][1:]] == [-0.25, -0.5]
        assert (tmp_path / "set_accuracy_over_tasks.png").stat().st_size > 1000
        text = (tmp_path / "table.md").read_text()
        assert "2 seeds" in text
        assert "| offline | - | " in text

    def test_without_the_baseline_there_are_no_gains(self, records, tmp_path):
        some = [r for r in records if r.method == "fine-tune"]
        assert len(write_comparison(tmp_path, metrics_of(some), Report("t", "s"))) == 1

    def test_what_was_not_measured_has_no_column(self, records, tmp_path):
        some = [Record(**vars(r) | {"value": math.nan}) if "word error" in r.metric else r
                for r in records]  # fmt: skip
        whole, _ = write_comparison(tmp_path, metrics_of(some), Report("t", "s"))
        assert "last WER" not in whole.columns


class TestSimulatedWords:
    def test_the_same_seed_writes_the_same_files(self, tmp_path):
        one, other = (simulate_clips(tmp_path / n, speakers=2) for n in "ab")
        for a, b in zip(one.clips, other.clips, strict=True):
            assert a.path.read_bytes() == b.path.read_bytes()
        third = simulate_clips(tmp_path / "c", speakers=2, seed=1)
        assert third.clips[0].path.read_bytes() != one.clips[0].path.read_bytes()

    def test_clips_are_audio_with_all_labels(self, tmp_path):
        found = simulate_clips(tmp_path, speakers=8)
        assert len(found) == 8 * len(INTENTS) * len(ROOMS)
        speakers = {s: {c.speaker for c in found.of(s)} for s in ("train", "valid", "test")}
        assert [len(names) for names in speakers.values()] == [5, 1, 2]
        assert not speakers["train"] & speakers["test"]
        for clip in found.clips[::17]:
            audio = read_audio(clip.path)
            assert audio.seconds == pytest.approx(clip.seconds, abs=1e-3)
            assert 0.4 < audio.seconds < 1.5
            assert 0.1 < np.abs(audio.samples).max() < 0.9
            assert not audio.clipped


def test_the_demo_leaves_a_run_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "SEEDS", 1)
    monkeypatch.setattr(demo, "PROCESSES", 1)
    monkeypatch.setattr(demo, "METHODS", ("fine-tune", BASELINE))
    tiny = SpeechSettings(**demo.DEMO | {"epochs": 1, "first_epochs": 1, "width": 8, "frozen": 6})
    run = RunFolder(tmp_path / "d", tiny)
    table = demo.run_demo(run, metrics_of([]), tiny, 0, quiet=True)
    assert [row[0] for row in table.rows] == ["fine-tune", BASELINE]
    assert {"metrics.json", "report.html", "table.md"} <= {p.name for p in run.path.iterdir()}
