"""The command line: what each verb leaves, and one clear line for each mistake."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from nearfar_kit.command import run_app
from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report
from nearfar_seqrec.cli import app
from nearfar_seqrec.recommender import Recommender
from nearfar_seqrec.report import below, training_curve

SETS = [
    f"--set={name}"
    for name in ("width=8", "layers=1", "heads=1", "inner_width=8", "longest=6", "epochs=2",
                 "batch=16", "user_min=1", "item_min=1")
]  # fmt: skip


def call(*arguments, status=0):
    """Runs a verb; its exit status is checked."""
    with pytest.raises(SystemExit) as ended:
        run_app(app, [str(a) for a in arguments])
    assert (ended.value.code or 0) == status


@pytest.fixture(scope="module")
def data(circle_rows, tmp_path_factory):
    """Ids hold spaces and letters of other alphabets."""
    path = tmp_path_factory.mktemp("data") / "circle.txt"
    lines = ["\t".join([user, *items]).replace("item 3", "茶 3") for user, items in circle_rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    call("train", "--data", data, "--out", out, "--device", "cpu", "--quiet", *SETS)
    return out


class TestTrain:
    def test_leaves_a_run_folder(self, run):
        for name in ("settings.yaml", "metrics.json", "log.jsonl", "report.html", "validation.png"):
            assert (run / name).exists(), name
        metrics = Metrics.read(run / "metrics.json")
        assert (metrics.domain, metrics.verb) == ("seqrec", "train")
        assert {"hit@5", "ndcg@20", "mrr", "coverage@10", "popularity@10"} <= {
            r.metric for r in metrics.records
        }
        assert {r.n for r in metrics.records} == {40}

    def test_popularity_stands_beside_the_model(self, run, data, tmp_path, capsys):
        from nearfar_seqrec.baselines import Popular
        from nearfar_seqrec.evaluate import evaluate
        from nearfar_seqrec.readers import read
        from nearfar_seqrec.split import leave_one_out

        split = leave_one_out(read(data))
        want = evaluate(Popular(split), split, split.test, longest=6)
        records = Metrics.read(run / "metrics.json").records
        assert {r.metric: r.value for r in records if r.method == "popular"} == want
        call("train", "--data", data, "--out", tmp_path / "r", "--device=cpu", "--quiet", *SETS)
        header = next(row for row in capsys.readouterr().out.splitlines() if "measure" in row)
        assert "mclrec" in header
        assert "popular" in header
        assert "popular" in (tmp_path / "r" / "report.html").read_text()

    def test_resumed_once_more_is_the_same(self, run, data):
        before = Metrics.read(run / "metrics.json").records
        call("train", "--data", data, "--out", run, "--device=cpu", "--quiet", "--resume", *SETS)
        assert Metrics.read(run / "metrics.json").records == before

    def test_a_folder_in_use_is_refused(self, run, data, capsys):
        call("train", "--data", data, "--out", run, *SETS, status=2)
        assert "holds a run" in capsys.readouterr().err

    def test_the_report_explains_and_marks(self, run):
        page = (run / "report.html").read_text()
        assert "coverage@10: the share of the catalogue" in page
        assert "popularity@10: how often listed items were trained on" in page
        assert "of epoch " in page

    def test_what_is_wrong_in_the_call_is_told_before_the_data(self, run, tmp_path, capsys):
        there = ["train", "--data", tmp_path / "no.txt", *SETS]
        call(*there, "--out", run, status=2)
        assert "holds a run" in capsys.readouterr().err
        if not torch.cuda.is_available():
            call(*there, "--out", tmp_path / "r", "--device=cuda", status=2)
            assert "--device cuda: no CUDA device" in capsys.readouterr().err
        call("evaluate", "--model", run, "--data", tmp_path / "no.txt", "--out", run, status=2)
        assert "holds a run" in capsys.readouterr().err


class TestReport:
    def test_below_the_baseline(self):
        better, worse = {"ndcg@10": 0.2}, {"ndcg@10": 0.1}
        assert below("mclrec", better, "popular", worse) == []
        assert below("mclrec", worse, "popular", better) == [
            "mclrec is below popular on ndcg@10: 0.1000, popular 0.2000"
        ]

    def test_it_is_told(self, data, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr("nearfar_seqrec.report.below", lambda *found: ["so it is"])
        out = tmp_path / "r"
        call("train", "--data", data, "--out", out, "--device=cpu", "--quiet", *SETS)
        assert "note: so it is\n" in capsys.readouterr().err
        assert "<p>so it is.</p>" in (out / "report.html").read_text()

    def test_the_last_epoch_was_the_best(self, tmp_path):
        found = [
            {"epoch": n, "ndcg@10": v, "hit@10": v, "mrr": v}
            for n, v in enumerate((0.1, 0.3, 0.2), 1)
        ]
        pages = []
        for history in (found, found[:2]):
            report = Report("a", "b")
            run = SimpleNamespace(path=tmp_path)
            notes = training_curve(report, run, SimpleNamespace(history=history))
            pages.append((notes, report.parts[-1]))
        assert pages[0][0] == []
        assert "of epoch 2, is kept." in pages[0][1]
        assert pages[1][0] == [
            "the last epoch, 2, was the best: more of them (epochs) may find more"
        ]


class TestRecommend:
    def test_lists_of_all_are_for_a_file(self, run, capsys):
        call("recommend", "--model", run, status=2)
        told = capsys.readouterr()
        assert "knows 40 users, too many to show; expected --user, --item, --data" in told.err
        assert told.out == ""
        call("recommend", "--help")
        assert "all users of the training where none is named" in " ".join(
            capsys.readouterr().out.replace("│", " ").split()
        )

    def test_all_users(self, run, tmp_path):
        for name in ("lists.csv", "lists.parquet"):
            call("recommend", "--model", run, "--out", tmp_path / name, "-k", 3, "--repeat")
        frame = pl.read_parquet(tmp_path / "lists.parquet")
        assert (
            pl.read_csv(tmp_path / "lists.csv")
            .select("user", "rank", "item")
            .equals(frame.select("user", "rank", "item"))
        )
        assert frame.columns == ["user", "rank", "item", "score"]
        assert len(frame) == 40 * 3
        assert frame["rank"].to_list() == [1, 2, 3] * 40
        scores = frame["score"].to_numpy().reshape(-1, 3)
        assert (np.diff(scores) <= 0).all()

    def test_one_user_and_the_same_items_by_hand(self, run, capsys):
        known = Recommender.load(run / "checkpoint" / "model.safetensors").sequences
        capsys.readouterr()
        call("recommend", "--model", run, "--user", "user 7", "-k", 4, "--repeat")
        by_user = capsys.readouterr().out
        items = [part for name in known.names(known.of(7)) for part in ("--item", name)]
        call("recommend", "--model", run, *items, "-k", 4, "--repeat")
        assert capsys.readouterr().out.replace("new,", "user 7,") == by_user
        assert by_user.splitlines()[0] == "user,rank,item,score"

    def test_new_sequences_never_get_what_they_had(self, run, tmp_path, capsys):
        new = tmp_path / "new.txt"
        new.write_text("zoë\titem 1\titem 2\t茶 3\nal\titem 5\n", encoding="utf-8")
        call("recommend", "--model", run, "--data", new, "-k", 12)
        rows = [line.split(",") for line in capsys.readouterr().out.splitlines()[1:]]
        lists = {user: [r[2] for r in rows if r[0] == user] for user in ("zoë", "al")}
        assert len(lists["zoë"]) == 12 - 3
        assert not {"item 1", "item 2", "茶 3"} & set(lists["zoë"])
        assert len(lists["al"]) == 11

    def test_unknown_items(self, run, tmp_path, capsys):
        new = tmp_path / "new.txt"
        new.write_text("zoë\titem 1\tsoap\n", encoding="utf-8")
        call("recommend", "--model", run, "--data", new)
        assert "note: 1 of 2 interactions are of unknown items" in capsys.readouterr().err
        call("recommend", "--model", run, "--data", new, "--unknown", "error", status=2)
        assert f"error: {new}: item 'soap' of user 'zoë' is unknown to the model, 1 of 2" in (
            capsys.readouterr().err
        )
        new.write_text("al\tsoap\nzoë\tsoap\titem 1\tsoap\n", encoding="utf-8")
        call("recommend", "--model", run, "--data", new, status=2)  # as another shop's file
        err = capsys.readouterr().err
        assert "item 'soap' of user 'al' is unknown to the model, 3 of 4" in err
        assert "or --unknown skip" in err
        call("recommend", "--model", run, "--data", new, "--unknown", "skip")
        skipped = capsys.readouterr()
        assert "note: 3 of 4 interactions are of unknown items" in skipped.err
        assert "note: 1 users have no known item" in skipped.err
        new.write_text("zoë\titem 1\n", encoding="utf-8")
        call("recommend", "--model", run, "--data", new)
        assert capsys.readouterr().out == skipped.out
        new.write_text("zoë\tsoap\n", encoding="utf-8")
        call("recommend", "--model", run, "--data", new, "--unknown", "skip", status=2)
        assert "1 of 1 interactions are" in capsys.readouterr().err
        call("recommend", "--model", run, "--item", "soap", "--unknown", "skip", status=2)
        assert "--item: no item is known to the model" in capsys.readouterr().err

    def test_names_are_no_formulas_where_a_spreadsheet_opens_them(self, run, tmp_path, capsys):
        new = tmp_path / "new.txt"
        new.write_text("=1+1\titem 1\titem 2\n", encoding="utf-8")
        call("recommend", "--model", run, "--data", new, "-k", 1)
        printed = capsys.readouterr().out
        assert printed.splitlines()[1].startswith("'=1+1,1,")
        call("recommend", "--model", run, "--data", new, "-k", 1, "--out", tmp_path / "lists.csv")
        assert (tmp_path / "lists.csv").read_text(encoding="utf-8") == printed

    def test_new_sequences_of_a_table(self, run, tmp_path, capsys):
        new = tmp_path / "new.csv"
        new.write_text("who,item,time\nzoë,item 2,2\nzoë,item 1,1\n", encoding="utf-8")
        call("recommend", "--model", run, "--data", new, "--read", "user=who", "-k", 3)
        of_table = capsys.readouterr().out.replace("zoë,", "new,")
        call("recommend", "--model", run, "--item", "item 1", "--item", "item 2", "-k", 3)
        assert capsys.readouterr().out == of_table

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--user", "nobody"], "--user nobody: is unknown to the model"),
            (["--item", "soap"], "--item: item 'soap' is unknown"),
            (["--user", "user 1", "--item", "item 1"], "expected one of them"),
            (["--out", "lists.txt"], "ends in .csv or .parquet"),
            (["--out", "/nowhere/at/all.csv"], "is no folder"),
            (["--data", "/nowhere.txt"], "no such file or folder"),
        ],
    )
    def test_mistakes(self, run, capsys, arguments, message):
        call("recommend", "--model", run, *arguments, status=2)
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1

    def test_what_is_no_run(self, tmp_path, capsys):
        call("recommend", "--model", tmp_path, status=2)
        assert "holds no trained model" in capsys.readouterr().err

    def test_a_damaged_model(self, run, tmp_path, capsys):
        whole = (run / "checkpoint" / "model.safetensors").read_bytes()
        file = tmp_path / "checkpoint" / "model.safetensors"
        file.parent.mkdir()
        for kept in (0, 100, len(whole) - 1):
            file.write_bytes(whole[:kept])
            call("recommend", "--model", tmp_path, status=2)
            err = capsys.readouterr().err
            assert "model.safetensors: is no checkpoint, or a damaged one" in err
            assert err.count("\n") == 1


class TestEvaluate:
    def test_on_the_same_data_equals_training(self, run, data, tmp_path):
        call("evaluate", "--model", run, "--data", data, "--out", tmp_path / "e", "--quiet")
        records = Metrics.read(run / "metrics.json").records
        want = {(r.method, r.metric): r.value for r in records}
        found = Metrics.read(tmp_path / "e" / "metrics.json").records
        assert {r.method for r in found} == {"mclrec", "popular"}
        assert {(r.method, r.metric): r.value for r in found} == want

    def test_an_unknown_item(self, run, tmp_path, capsys):
        other = tmp_path / "other.txt"
        other.write_text("a\titem 1\titem 2\tsoap\n", encoding="utf-8")
        ask = ["evaluate", "--model", run, "--data", other, "--out", tmp_path / "e"]
        call(*ask, "--unknown=error", status=2)
        assert "item 'soap' of user 'a' is unknown to the model" in capsys.readouterr().err
        assert not (tmp_path / "e").exists()
        other.write_text("a\titem 1\titem 2\tsoap\titem 5\titem 4\nb\tsoap\n", encoding="utf-8")
        call(*ask)
        assert "note: 2 of 6 interactions are of unknown items" in capsys.readouterr().err
        assert {r.n for r in Metrics.read(tmp_path / "e" / "metrics.json").records} == {1}


@pytest.fixture(scope="module")
def rare(circle_rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("rare") / "rare.txt"
    rows = ["\t".join([user, *items[:4]]) for user, items in circle_rows]
    rows += [f"once {n}\trare {n}\trarer {n}\titem 1" for n in range(200)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def filtered(rare, tmp_path_factory):
    out = tmp_path_factory.mktemp("rare") / "run"
    sets = [*SETS, "--set=user_min=3", "--set=item_min=3"]
    call("train", "--data", rare, "--out", out, "--device", "cpu", "--quiet", *sets)
    return out


class TestFiltered:
    """The training file itself, most of whose items are too rare for the filter."""

    @pytest.mark.parametrize("verb", ["recommend", "evaluate"])
    def test_it_is_taken_with_a_note(self, filtered, rare, tmp_path, capsys, verb):
        capsys.readouterr()
        out = tmp_path / ("lists.csv" if verb == "recommend" else "e")
        call(verb, "--model", filtered, "--data", rare, "--out", out)
        assert (
            "note: 400 of 760 interactions are of unknown items, left out (400 of items that were "
            "too rare in training, setting item_min)" in capsys.readouterr().err
        )

    def test_models_of_older_days_and_other_shops(self, filtered, rare, tmp_path, capsys):
        model = tmp_path / "checkpoint" / "model.safetensors"
        model.parent.mkdir()
        old = Recommender.load(filtered / "checkpoint" / "model.safetensors")
        assert len(old.sequences.dropped) == 400
        old.sequences = replace(old.sequences, dropped=np.empty(0, np.str_))
        old.save(model)
        call("recommend", "--model", tmp_path, "--data", rare, status=2)
        assert "400 of 760 interactions are; expected" in capsys.readouterr().err

    def test_users_and_items_by_hand(self, filtered, capsys):
        call("recommend", "--model", filtered, "--user", "once 1", status=2)
        assert "users of fewer than 3 interactions" in capsys.readouterr().err
        call("recommend", "--model", filtered, "--item", "rare 1", status=2)
        assert "unknown to the model (it was too rare in training" in capsys.readouterr().err


class TestExport:
    def test_inner_products_are_the_scores(self, run, tmp_path, capsys):
        call("export", "--model", run, "--out", tmp_path / "vectors", "--quiet")
        items, users = (np.load(tmp_path / "vectors" / f"{w}.npy") for w in ("items", "users"))
        names = pl.read_csv(tmp_path / "vectors" / "items.csv")["item"].to_list()
        who = pl.read_csv(tmp_path / "vectors" / "users.csv")["user"].to_list()
        capsys.readouterr()
        call("recommend", "--model", run, "--user", who[5], "-k", 3, "--repeat")
        for line in capsys.readouterr().out.splitlines()[1:]:
            _, _, item, score = line.split(",")
            assert users[5] @ items[names.index(item)] == pytest.approx(float(score), abs=1e-5)

    def test_the_index_finds_what_ranks_first(self, run, tmp_path):
        faiss = pytest.importorskip("faiss")
        call("export", "--model", run, "--out", tmp_path / "v", "--faiss", "--quiet")
        index = faiss.read_index(str(tmp_path / "v" / "items.faiss"))
        items, users = (np.load(tmp_path / "v" / f"{w}.npy") for w in ("items", "users"))
        scores, found = index.search(users, 5)
        want = users @ items.T
        assert np.allclose(scores, np.sort(want, axis=1)[:, :-6:-1], atol=1e-5)
        assert np.allclose(np.take_along_axis(want, found, axis=1), scores, atol=1e-5)

    def test_a_file_in_the_way(self, run, tmp_path, capsys):
        (tmp_path / "v").write_text("")
        call("export", "--model", run, "--out", tmp_path / "v", status=2)
        assert f"--out {tmp_path / 'v'}: is a file; expected a folder" in capsys.readouterr().err

    def test_faiss_that_is_not_there(self, run, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr("nearfar_seqrec.export.find_spec", lambda name: None)
        call("export", "--model", run, "--out", tmp_path / "v", "--faiss", status=2)
        assert "nearfar-seqrec[faiss]" in capsys.readouterr().err
        assert not (tmp_path / "v").exists()


class TestBench:
    def test_compares_and_resumes(self, data, tmp_path):
        out = tmp_path / "bench"
        arguments = ["bench", "--data", data, "--out", out, "--profile", "smoke", "--seeds", "2",
                     "--methods", "popular; SASRec; MCLRec, no regulariser", "--processes", "1",
                     "--quiet", *SETS]  # fmt: skip
        call(*arguments)
        metrics = Metrics.read(out / "metrics.json")
        assert {(r.method, r.seed) for r in metrics.records} == {
            ("popular", 0), ("SASRec", 0), ("SASRec", 1), ("MCLRec, no regulariser", 0),
            ("MCLRec, no regulariser", 1),
        }  # fmt: skip
        assert "| popular |" in (out / "table.md").read_text()
        jobs = {p: p.stat().st_mtime_ns for p in (out / "checkpoint" / "jobs").iterdir()}
        # Each tuned method tried all its choices with seed 0, the ablation its method's.
        assert sum("MCLRec_0" in p.name for p in jobs) == 6
        call(*arguments, "--resume")
        assert {p: p.stat().st_mtime_ns for p in jobs} == jobs

    def test_a_folder_of_data_sets(self, data, tmp_path, capsys):
        """Of those over the limit a dense core is taken, and told."""
        folder = tmp_path / "sets"
        folder.mkdir()
        lines = data.read_text().splitlines()
        brief = ["\t".join([f"brief {n}", *line.split("\t")[1:4]]) for n, line in enumerate(lines)]
        for name, rows in (("a.txt", lines), ("b.txt", lines + brief), ("notes.md", [])):
            (folder / name).write_text("\n".join(rows))
        more = ["--profile", "smoke", "--methods", "popular", "--processes", "1", "--quiet", *SETS]
        call("bench", "--data", folder, "--out", tmp_path / "out", *more, "--set", "most=400")
        captured = capsys.readouterr().err
        assert captured.count("by the setting most") == 1
        assert "user and 4 an item, 320 of 600, by the setting most" in captured
        found = Metrics.read(tmp_path / "out" / "metrics.json").records
        assert {r.dataset for r in found} == {"a", "b"}
        table = (tmp_path / "out" / "table.md").read_text()
        assert "b, 40 users, 12 items, 320 interactions: full ranking" in table
        call("bench", "--data", folder, "--out", tmp_path / "c", *more, "--set", "most=1", status=2)
        assert "filter: no core holds at most 1 interactions" in capsys.readouterr().err
        assert not (tmp_path / "c").exists()

    def test_mistakes(self, data, tmp_path, capsys):
        for given, message in (
            (["--device", "tpu"], "--device tpu: expected auto, cpu or cuda"),
            (["--profile", "big"], "--profile big: expected one of smoke, cpu, gpu"),
            (["--methods", "BERT4Rec"], "--methods BERT4Rec: expected some of popular"),
            (["--set", "lngest=3"], "unknown setting lngest; the nearest is longest"),
        ):
            call("bench", "--data", data, "--out", tmp_path / "b", *given, status=2)
            assert message in capsys.readouterr().err
        assert not (tmp_path / "b").exists()


class TestDemo:
    def test_leaves_a_run_folder_and_its_data(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr("nearfar_seqrec.demo.PROCESSES", 1)  # each new one imports torch anew
        out = tmp_path / "demo"
        call("demo", "--out", out, "--quiet", "--set=epochs=1", "--set=width=8")
        shown = capsys.readouterr().out
        for method in ("popular", "item-kNN", "SASRec", "CL4SRec", "MCLRec"):
            assert method in shown
        names = {path.name for path in out.iterdir()}
        assert names >= {"clicks.csv", "simulated_ndcg.png", "table.md", "report.html"}
        call("recommend", "--model", out, "--item", "tea 1", "--item", "coffee 2", "-k", "2")
        assert len(capsys.readouterr().out.splitlines()) == 3


BAD = {
    "no such file": (None, [], "no such file"),
    "no text": (b"a \xff", [], "is not UTF-8 at byte"),
    "features elsewhere": (
        "a x y z x\nb x z y x\n",
        ["--set=features=no.csv"],
        "no.csv: no such file",
    ),
    "one interaction a user": ("a x\nb y\n", [], "none of 2 users has 3 interactions"),
    "one item left": (
        "a x x x\nb x x x y\n",
        ["--set=user_min=3", "--set=item_min=4"],
        "filter: one ",
    ),
    "nothing left": (
        "a x y z\nb x y z\n",
        ["--set=user_min=4"],
        "bad.txt: filter: nothing is left of",
    ),
    "no time": ("a x y z\n", ["--set=split=time"], "the data has no times"),
    "no training": ("a x y z\nb z y x\n", [], "fewer than two targets"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_one_line_and_leaves_nothing(tmp_path, capsys, name):
    content, more, message = BAD[name]
    path = tmp_path / "bad.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    call("train", "--data", path, "--out", tmp_path / "r", *SETS, "--quiet", *more, status=2)
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_notes_are_told(circle_rows, tmp_path, capsys):
    path = tmp_path / "s.inter"
    rows = [f"{user}\t{item}\t{-t}" for user, items in circle_rows for t, item in enumerate(items)]
    path.write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n" + "\n".join([*rows, "one\titem 1\t0"])
    )
    call("train", "--data", path, "--out", tmp_path / "r", "--quiet", "--device=cpu", *SETS)
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    notes = [note for note in notes if "was the best" not in note]
    assert len(notes) == 2
    assert "440 rows are older" in notes[0]
    assert "1 users have fewer than 3 interactions" in notes[1]


def test_help_imports_neither_torch_nor_recbole():
    import subprocess

    code = (
        "import sys\nfrom nearfar_seqrec.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'recbole', 'ray'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_metrics_are_json(run):
    assert json.loads((run / "metrics.json").read_text())["schema"] == 1
