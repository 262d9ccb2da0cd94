"""Large tables: parts of cells, evidence on disk, many processes, what a killed run has left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import nearfar_tables.evidence as evidence_module
import nearfar_tables.matching as matching_module
from nearfar_kit.command import run_app
from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings
from nearfar_tables import TablesSettings, block
from nearfar_tables.bench.memory import peak_memory
from nearfar_tables.cells import COUNTS, PARSED, Cells
from nearfar_tables.cli import app
from nearfar_tables.evidence import gather
from nearfar_tables.febrl import amplified
from nearfar_tables.lake import Lake
from nearfar_tables.matching import learn
from nearfar_tables.noise import MIXES, inject
from nearfar_tables.on_ray import cluster, each_on_ray
from nearfar_tables.pair_model import PairModel
from nearfar_tables.pretrain import new_matcher
from nearfar_tables.similarity import Similarity
from nearfar_tables.simulate import simulate
from nearfar_tables.workplace import workplace

QUICK = load_settings(TablesSettings, overrides=["epochs=0"])
FRAME = pl.DataFrame(
    {
        "name": ["Sony TV kd55", None, "Bosch drill", "sony tv KD55", "café 7"],
        "price": [100.5, 7.0, None, 110.0, 3.0],
        "since": ["2020-01-01", "2 jan 2020", None, "x", ""],
    }
)


@pytest.fixture(scope="module")
def guides():
    """Simulated guides as one frame, candidate pairs, and each row's guide."""
    tables, _ = simulate(60, seed=3)
    source = np.repeat(np.arange(len(tables)), [table.height for table in tables.values()])
    frame = pl.concat(tables.values())
    return frame, block(frame, source=source), source


def same_cells(one, two):
    assert one.values == two.values
    np.testing.assert_array_equal(one.codes, two.codes)
    for name in COUNTS:
        assert (getattr(one, name) != getattr(two, name)).nnz == 0
    for name in PARSED:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


class TestCells:
    @pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [3, 0], [1], [2, 2], []])
    def test_a_part_is_the_cells_of_its_rows(self, rows):
        rows = np.array(rows, dtype=np.int64)
        part, alone = Cells.of(FRAME).part(rows), Cells.of(FRAME[rows])
        for column in range(3):
            assert part.texts(column) == alone.texts(column)
        for name in COUNTS:
            counts = [getattr(c, name)[[c.values.index(v) for v in alone.values]]
                      for c in (part, alone)]  # fmt: skip
            assert (counts[0] != counts[1]).nnz == 0

    def test_from_disk_they_are_the_same(self, tmp_path):
        cells = Cells.of(FRAME)
        cells.save(tmp_path)
        same_cells(Cells.open(tmp_path, cells.columns), cells)


class TestEvidence:
    @pytest.fixture
    def model(self, guides):
        cells = Cells.of(guides[0])
        model = PairModel(cells.columns, QUICK, Similarity(cells))
        model.matcher = new_matcher(len(cells.columns), QUICK, 0).eval()
        return cells, model

    @pytest.fixture(autouse=True)
    def small_chunks(self, monkeypatch):
        monkeypatch.setattr(evidence_module, "CHUNK", 50)

    def test_chunks_are_the_whole(self, model, guides, tmp_path):
        cells, own = model
        pairs = guides[1][:170]
        found = gather(own, cells, pairs, tmp_path)
        assert len(found.files) == 4
        whole, logits = own.look(cells, pairs)
        chosen = np.array([0, 49, 50, 51, 149, 169])
        features, some = found.take(chosen)
        np.testing.assert_allclose(features.attribute, whole.attribute[chosen], atol=1e-6)
        np.testing.assert_allclose(features.record, whole.record[chosen], atol=1e-6)
        np.testing.assert_allclose(some, logits[chosen], atol=1e-5)
        parts = list(found)
        np.testing.assert_allclose(np.concatenate([p.record for p, _ in parts]), whole.record,
                                   atol=1e-6)  # fmt: skip

    def test_what_is_there_is_not_made_again(self, model, guides, tmp_path, monkeypatch):
        cells, own = model
        pairs = guides[1][:170]
        first = gather(own, cells, pairs, tmp_path)
        before = [file.read_bytes() for file in first.files]
        first.files[1].unlink()
        looked = []
        plain = PairModel.look
        monkeypatch.setattr(
            PairModel, "look", lambda self, c, p: looked.append(len(p)) or plain(self, c, p)
        )
        again = gather(own, cells, pairs, tmp_path)
        assert looked == [50]
        assert [file.read_bytes() for file in again.files] == before


def test_one_process_and_two_find_the_same(guides, monkeypatch):
    """In processes that are begun anew: what they look at, they read from files."""
    monkeypatch.setattr(evidence_module, "CHUNK", 150)
    frame, pairs, source = guides
    settings = load_settings(TablesSettings, overrides=["epochs=1", "batch=64"])
    found = [
        learn(frame, pairs, source=source, settings=settings, processes=processes)[1]
        for processes in (1, 2)
    ]
    np.testing.assert_array_equal(found[0].score, found[1].score)
    np.testing.assert_array_equal(found[0].probability, found[1].probability)


def test_a_sample_of_pairs_finds_what_all_find(guides, monkeypatch):
    frame, pairs, source = guides
    whole = learn(frame, pairs, source=source, settings=QUICK)[1]
    monkeypatch.setattr(matching_module, "SAMPLE", len(pairs) // 2)
    _, part = learn(frame, pairs, source=source, settings=QUICK)
    assert (whole.match == part.match).mean() > 0.97
    assert len(part.score) == len(pairs)
    assert not np.array_equal(whole.score, part.score)


class TestResume:
    def test_a_killed_integration_goes_on(self, tmp_path, monkeypatch):
        tables, _ = simulate(40, seed=1)
        lake, out = tmp_path / "lake", tmp_path / "run"
        lake.mkdir()
        for name, table in tables.items():
            table.write_csv(lake / f"{name}.csv")
        call = ["integrate", "--data", lake, "--out", out, "--set=epochs=1", "--quiet",
                "--processes", "1"]  # fmt: skip

        def run(*more):
            with pytest.raises(SystemExit) as end:
                run_app(app, [str(a) for a in (*call, *more)])
            return end.value.code or 0

        def killed(*_, **__):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(matching_module, "_decided", killed)
            assert run() == 130
        assert not out.exists()
        place = tmp_path / ".run.work"
        left = {file.name for file in place.iterdir()}
        assert {"candidates.npy", "matcher.safetensors", "evidence-000000000000.npy"} <= left
        with monkeypatch.context() as patch:  # nothing of it is done again
            for name in ("pretrain", "Similarity"):
                patch.setattr(matching_module, name, killed)
            patch.setattr(PairModel, "look", killed)
            patch.setattr("nearfar_tables.lake.block", killed)
            assert run("--resume") == 0
        assert not place.exists()
        resumed = pl.read_csv(out / "sets.csv")
        whole = Lake.of(lake, settings=load_settings(TablesSettings, overrides=["epochs=1"]))
        assert resumed["set"].to_list() == whole.sets.tolist()

    def test_what_was_begun_with_something_else(self, tmp_path):
        out = tmp_path / "run"
        with pytest.raises(KeyboardInterrupt), workplace(out, {"seed": 0}, resume=False) as place:
            (place / "half").touch()
            raise KeyboardInterrupt
        other = workplace(out, {"seed": 1}, resume=True)
        with pytest.raises(UserError, match="--resume: seed is not what"), other:
            pass
        with workplace(out, {"seed": 0}, resume=True) as again:
            assert (again / "half").exists()
        assert not again.exists()

    def test_a_mistake_leaves_nothing(self, tmp_path):
        with pytest.raises(UserError), workplace(tmp_path / "run", {}, resume=False):
            raise UserError("no")
        with pytest.raises(KeyboardInterrupt), workplace(tmp_path / "run", {}, resume=False) as own:
            (own / "half").touch()
            raise KeyboardInterrupt
        with workplace(tmp_path / "run", {}, resume=False) as own:
            assert [file.name for file in own.iterdir()] == ["begun.json"]
            assert json.loads((own / "begun.json").read_text()) == {}
        assert list(tmp_path.iterdir()) == []


class TestNoise:
    PEOPLE = pl.DataFrame(
        {
            "given_name": [f"anna{n}" for n in range(50)],
            "surname": [f"miller{n}" for n in range(50)],
            "suburb": [f"town {n}" for n in range(50)],
            "postcode": [str(2000 + n) for n in range(50)],
            "state": ["nsw"] * 50,
            "date_of_birth": ["19600101"] * 50,
            "soc_sec_id": ["1234567"] * 50,
        }
    )

    @pytest.mark.parametrize("mix", MIXES)
    def test_a_share_of_rows_is_changed_in_one_cell(self, mix):
        streets = pl.DataFrame({"a": ["king street company"] * 60, "b": ["mount road"] * 60})
        new = inject(streets, mix, np.random.default_rng(0), share=0.5, most=1)
        changed = (new != streets).fill_null(True).sum_horizontal()
        assert changed.max() == 1
        assert 15 < changed.sum() < 45
        assert inject(streets, mix, np.random.default_rng(0), share=0.0).equals(streets)

    def test_what_each_mix_does_most(self):
        streets = pl.DataFrame({"a": ["king street company"] * 200})
        meant = {"king", "k", "ki", "kin", "street", "st", "company", "co"}
        typed, replaced = {}, {}
        for mix in MIXES:
            new = inject(streets, mix, np.random.default_rng(0), share=1.0, most=1)["a"]
            words = [set(text.split()) for text in new]
            typed[mix] = np.mean([not own <= meant for own in words])
            replaced[mix] = np.mean([bool(own & {"st", "co"}) for own in words])
        assert typed["typographic"] > 0.5 > typed["balanced"] > typed["semantic"]
        assert replaced["semantic"] > 0.5 > replaced["balanced"] > replaced["typographic"]

    def test_an_unknown_mix(self):
        with pytest.raises(UserError, match="expected one of balanced, semantic, typographic"):
            inject(self.PEOPLE, "loud", np.random.default_rng(0))

    def test_a_register_lists_a_person_once(self):
        tables, truth = amplified(self.PEOPLE, 2000, seed=1)
        heights = [table.height for table in tables.values()]
        assert sum(heights) == len(truth)
        assert 1800 < len(truth) < 2200
        for part in np.split(truth, np.cumsum(heights)[:-1]):
            assert len(np.unique(part)) == len(part)
        frame = pl.concat(tables.values()).with_columns(person=truth)
        # What noise has left alone is equal in all registers.
        agree = frame.group_by("person").agg(pl.col("soc_sec_id").drop_nulls().mode().first())
        joined = frame.join(agree, on="person")
        assert (joined["soc_sec_id"] == joined["soc_sec_id_right"]).mean() > 0.6
        where = frame.filter(pl.col("suburb").str.contains("^town [0-9]+$")).drop_nulls()
        same = where["suburb"].str.slice(5).cast(int) + 2000 == where["postcode"].cast(int)
        assert same.mean() > 0.8


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")
def test_memory_of_processes_that_a_process_began_counts():
    program = "import time; held = b'x' * (200 << 20); print(len(held), flush=True); time.sleep(60)"
    with peak_memory() as alone:
        pass
    with peak_memory() as peak:
        other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert other.stdout is not None
        other.stdout.readline()
        peak.look()
        other.kill()
        other.communicate()
    assert 190 < peak.mib - alone.mib < 260


class TestRay:
    def test_a_cluster_finds_what_one_process_finds(self, guides, monkeypatch):
        pytest.importorskip("ray")
        monkeypatch.setattr(evidence_module, "CHUNK", 150)
        frame, pairs, source = guides
        settings = load_settings(TablesSettings, overrides=["epochs=1", "batch=64"])
        looked = []
        monkeypatch.setattr(
            evidence_module, "each_on_ray",
            lambda work, jobs, *more: looked.extend(jobs) or each_on_ray(work, jobs, *more),
        )  # fmt: skip
        found = [
            learn(frame, pairs, source=source, settings=settings, ray=ray)[1]
            for ray in (None, "local")
        ]
        assert len(looked) > 2
        np.testing.assert_array_equal(found[0].score, found[1].score)
        np.testing.assert_array_equal(found[0].probability, found[1].probability)

    @pytest.mark.parametrize(
        ("address", "told"),
        [
            ("nonsense", "expected local, auto, HOST:PORT or ray://HOST:PORT"),
            (":1", "expected local"),
            ("localhost:x", "expected local"),
            ("127.0.0.1:1", r"no cluster answers \(.*refused"),
            ("ray://127.0.0.1:1", r"no cluster answers \(.*refused"),
            ("127.0.0.1:99999", "no cluster answers"),
        ],
    )
    def test_what_is_no_cluster(self, address, told):
        pytest.importorskip("ray")
        with pytest.raises(UserError, match=told), cluster(address):
            pass

    def test_no_cluster_to_join(self, monkeypatch):
        """As Ray says it; another's cluster may be running here while tests do."""
        ray = pytest.importorskip("ray")

        def none_there(**_):
            raise ConnectionError("Could not find any running Ray instance.\nStart one.")

        monkeypatch.setattr(ray, "init", none_there)
        told = r"--ray auto: no cluster answers \(Could not find any running Ray instance\.\)"
        with pytest.raises(UserError, match=told), cluster("auto"):
            pass
