"""The command line: what each verb leaves, and one clear line for each mistake."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest

from nearfar_bundle.bench import FIRST, METHODS, MISSING, PEERS, jobs_of
from nearfar_bundle.builder import Builder
from nearfar_bundle.cli import app
from nearfar_bundle.data import split_of
from nearfar_bundle.readers import read
from nearfar_bundle.settings import BundleSettings
from nearfar_kit.command import run_app
from nearfar_kit.metrics import Metrics


def call(*arguments, status=0):
    """Runs a verb; its exit status is checked."""
    with pytest.raises(SystemExit) as ended:
        run_app(app, [str(a) for a in arguments])
    assert (ended.value.code or 0) == status


def write_shop(folder, shop):
    """The simulated shop as a retailer's folder."""
    folder.mkdir()
    pl.DataFrame(
        {"item": shop.items, "title": shop.texts["title"], "price": shop.prices,
         "category": [kind for (kind,) in shop.labels["kind"]]}
    ).write_csv(folder / "items.csv")  # fmt: skip
    at = shop.bundles.tocoo()
    pl.DataFrame({"bundle": shop.bundle_names[at.row], "item": shop.items[at.col]}).write_parquet(
        folder / "bundles.parquet"
    )
    pl.DataFrame(
        {"user": [f"u{u}" for u in shop.feedback[:, 0]], "item": shop.items[shop.feedback[:, 1]]}
    ).write_csv(folder / "feedback.csv")
    return folder


@pytest.fixture(scope="module")
def data(shop, tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("data") / "shop", shop)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    call("train", "--data", data, "--out", out, "--quiet", "--set=epochs=2")
    return out


class TestTrain:
    def test_leaves_a_run_folder(self, run):
        for name in ("settings.yaml", "metrics.json", "log.jsonl", "report.html", "validation.png"):
            assert (run / name).exists(), name
        metrics = Metrics.read(run / "metrics.json")
        assert (metrics.domain, metrics.verb) == ("bundle", "train")
        names = {r.metric for r in metrics.records}
        assert {"recall@5", "ndcg@50", "warm recall@20", "cold ndcg@20"} <= names

    def test_resumed_once_more_is_the_same(self, run, data):
        before = Metrics.read(run / "metrics.json").records
        call("train", "--data", data, "--out", run, "--quiet", "--resume", "--set=epochs=2")
        assert Metrics.read(run / "metrics.json").records == before

    def test_evaluation_of_the_same_split_equals_it(self, run, data, tmp_path):
        call("evaluate", "--model", run, "--data", data, "--out", tmp_path / "e")
        want = {(r.method, r.metric): r.value for r in Metrics.read(run / "metrics.json").records}
        blends = {"best blend", "best blend, cold items raised"}
        assert {method for method, _ in want} == {"nearfar (variant default)", *blends}
        records = Metrics.read(tmp_path / "e" / "metrics.json").records
        assert want.items() <= {(r.method, r.metric): r.value for r in records}.items()
        assert {"popularity", "title cosine", *blends} <= {r.method for r in records}
        page = (tmp_path / "e" / "report.html").read_text()
        assert page.count("<table>") == 2
        assert page.index("All of them side by side") < page.index("The model in full")

    def test_kinds_of_items_are_explained_and_counted(self, run, data):
        split = split_of(read(data), BundleSettings(), 0)
        warm = split.degrees > 0
        times = np.asarray(split.test.hidden.sum(0)).ravel()
        page = (run / "report.html").read_text()
        told = f"to be found: {int(times[warm].sum())} warm items, {int(times[~warm].sum())} cold"
        assert page.count(told) == 2
        assert "cold: items that none holds" in page
        assert "all items may be above both, or below" in page
        assert "best blend" in page

    def test_an_unknown_variant(self, data, tmp_path, capsys):
        call("train", "--data", data, "--out", tmp_path / "r", "--variant", "papier", status=2)
        told = "error: --variant papier: expected one of default, paper"
        assert told in capsys.readouterr().err


@pytest.fixture(scope="module")
def third(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("seed") / "run"
    call("train", "--data", data, "--out", out, "--quiet", "--set=epochs=1", "--seed", 3)
    return out


class TestSeedOfTheTraining:
    def measured(self, run):
        return {
            r.metric: r.value
            for r in Metrics.read(run / "metrics.json").records
            if r.method == "nearfar (variant default)"
        }

    def test_evaluation_splits_by_it(self, third, data, tmp_path, capsys):
        call("evaluate", "--model", third, "--data", data, "--out", tmp_path / "e")
        assert "may be among those" not in capsys.readouterr().err
        assert self.measured(tmp_path / "e") == self.measured(third)

    def test_bundles_that_were_learnt_from_are_told(self, third, data, tmp_path, capsys):
        run = shutil.copytree(third, tmp_path / "run")
        file = run / "checkpoint" / "model.safetensors"
        builder = Builder.load(file)
        builder.seed = 0
        builder.save(file)
        call("evaluate", "--model", run, "--data", data, "--out", tmp_path / "e")
        assert "may be among those" in capsys.readouterr().err

    def test_another_is_refused(self, third, data, tmp_path, capsys):
        ask = ["evaluate", "--model", third, "--data", data, "--out", tmp_path / "e"]
        call(*ask, "--seed", 0, status=2)
        err = capsys.readouterr().err
        assert f"--seed 0: --model {third} was trained with seed 3" in err
        assert err.count("\n") == 1
        assert not (tmp_path / "e").exists()
        call(*ask, "--seed", 3)
        assert capsys.readouterr().out.count("recall@20") == 1  # one table for all methods


class TestConstruct:
    def test_partial_bundles_under_limits(self, run, shop, tmp_path):
        partial = tmp_path / "partial.csv"
        partial.write_text("bundle,item\na,item 1\na,item 2\nb,item 3\n")
        out = tmp_path / "out.parquet"
        call(
            "construct", "--model", run, "--data", partial, "--out", out, "-k", 4, "--budget", 400,
            "--each", "*=1", "--exclude", "item 7", "--include", "item 9", "--diversity", "0.3",
        )  # fmt: skip
        frame = pl.read_parquet(out)
        assert frame.columns == ["bundle", "rank", "item", "score", "reason"]
        number = {name: n for n, name in enumerate(shop.items.tolist())}
        for name, given in (("a", ["item 1", "item 2"]), ("b", ["item 3"])):
            own = frame.filter(pl.col("bundle") == name)
            assert own["item"][0] == "item 9"
            added = own["item"].to_list()[1:]
            assert not {"item 7", "item 9", *given} & set(added)
            whole = [number[item] for item in [*given, "item 9", *added]]
            assert shop.prices[whole].sum() <= 400
            kinds = [shop.labels["kind"][n] for n in whole[len(given) + 1 :]]
            before = [shop.labels["kind"][n] for n in whole[: len(given) + 1]]
            assert len(set(kinds)) == len(kinds)
            assert not set(kinds) & set(before)
        assert frame["reason"].str.len_chars().min() > 5

    def test_from_one_item_with_items_that_came_later(self, run, shop, tmp_path, capsys):
        new = tmp_path / "new"
        new.mkdir()
        title = shop.texts["title"][5]
        (new / "items.csv").write_text(f"item,title\nlate,{title}\n")
        capsys.readouterr()
        call("construct", "--model", run, "--item", "item 5", "--new-items", new, "-k", 150)
        rows = capsys.readouterr().out.splitlines()
        assert rows[0] == "bundle,rank,item,score,reason"
        assert any(row.split(",")[2] == "late" for row in rows)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "--data or --item: expected one of them"),
            (["--item", "soap"], "bundle new: item 'soap' is not in the catalogue of 160 items"),
            (["--item", "item 1", "--budget", "1"], "costs"),
            (["--item", "item 1", "--each", "hat"], "--each hat: expected LABEL=N"),
            (["--item", "item 1", "--each", "Trousers=0"], "label 'Trousers'; the nearest: trou"),
            (["--item", "item 1", "--each", "ööö=0"], "label 'ööö'; the first of"),
            (["--item", "item 1", "--out", "x.txt"], "ends in .csv or .parquet"),
            (["--data", "/nowhere.csv"], "no such file"),
        ],
    )
    def test_mistakes(self, run, capsys, arguments, message):
        call("construct", "--model", run, *arguments, status=2)
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1

    def test_what_is_excluded_need_not_be_there(self, run, capsys):
        ask = ["construct", "--model", run, "--item", "item 1", "-k", 2]
        capsys.readouterr()
        call(*ask)
        plain = capsys.readouterr()
        call(*ask, "--exclude", "soap")
        told = capsys.readouterr()
        assert told.out == plain.out
        assert told.err == (
            "note: --exclude: not in the catalogue, so nothing to leave out: soap\n"
        )

    def test_titles_that_a_spreadsheet_would_run(self, run, tmp_path, capsys):
        new = tmp_path / "new"
        new.mkdir()
        (new / "items.csv").write_text("item,title\n=1+1,Alto blue running shirt\n")
        out = tmp_path / "out.csv"
        both = ["construct", "--model", run, "--item", "=1+1", "--new-items", new]
        call(*both, "-k", 2, "--out", out, "--data", out, status=2)
        capsys.readouterr()
        call(*both, "--include", "=1+1", "-k", 2)
        printed = capsys.readouterr().out
        call(*both, "--include", "=1+1", "-k", 2, "--out", out)
        assert printed == out.read_text()
        assert "new,0,'=1+1,,asked for" in printed
        call(*both, "--include", "=1+1", "-k", 2, "--out", tmp_path / "out.parquet")
        assert pl.read_parquet(tmp_path / "out.parquet")["item"][0] == "=1+1"

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({}, "holds no items.csv, .tsv or .parquet"),
            ({"items.csv": "item,title\nitem 5,x\n"}, "new item 'item 5' is in the catalogue"),
            ({"items.csv": "item,title\nx,a\nx,b\n"}, "item 'x' comes 2 times; expected once"),
            ({"items.csv": "item,title\n,a\n"}, "row 1: item is empty; expected an id"),
            ({"items.csv": "item,title,price\nx,a,-1\n"}, "row 1: price is '-1'; expected a"),
        ],
    )
    def test_new_items(self, run, tmp_path, capsys, files, message):
        new = tmp_path / "new"
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
        call("construct", "--model", run, "--item", "item 1", "--new-items", new, status=2)
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1

    def test_places_left_are_told_of(self, run, shop, capsys):
        price = dict(zip(shop.items.tolist(), shop.prices.tolist(), strict=True))
        budget = price["item 1"] + min(own for item, own in price.items() if item != "item 1") + 1
        ask = ["construct", "--model", run, "--item", "item 1", "-k", 4]
        capsys.readouterr()
        call(*ask, "--budget", budget)
        told = capsys.readouterr()
        assert len(told.out.splitlines()) == 2
        left = budget - price["item 1"] - price[told.out.splitlines()[1].split(",")[2]]
        start = f"note: bundle new: 3 of 4 places left: {left:.6g} of the budget of {budget:g} left"
        assert told.err.startswith(f"{start}, and the cheapest other item costs ")
        call(*ask)
        assert capsys.readouterr().err == ""

    def test_one_bundle_at_fault_leaves_the_others(self, run, tmp_path, capsys):
        carts = tmp_path / "carts.csv"
        carts.write_text("bundle,item\na,item 1\na,soap\nb,salt\nc,item 2\n")
        call("construct", "--model", run, "--data", carts, "-k", 2)
        told = capsys.readouterr()
        assert [row.split(",")[0] for row in told.out.splitlines()[1:]] == ["a", "a", "c", "c"]
        assert told.err.splitlines() == [
            f"note: {carts}: 2 of 4 items are not in the catalogue of 160, left out: soap (bundle "
            "a), salt (bundle b)",
            f"note: {carts}: 1 bundle holds no item of the catalogue, left out: b",
        ]
        carts.write_text("bundle,item\nb,salt\n")
        call("construct", "--model", run, "--data", carts, status=2)
        told = "error: bundle b: item 'salt' is not in the catalogue of 160 items\n"
        assert capsys.readouterr().err == told

    def test_an_empty_bundle(self, run, tmp_path, capsys):
        partial = tmp_path / "partial.csv"
        partial.write_text("bundle,item\na,\n")
        call("construct", "--model", run, "--data", partial, status=2)
        assert "bundle a: is empty; expected one item or more" in capsys.readouterr().err


class TestCheckLeak:
    def test_fine_and_planted(self, data, shop, tmp_path, capsys):
        call("check-leak", "--data", data)
        out = capsys.readouterr().out
        assert "LEAK" not in out
        assert out.splitlines()[-1] == "fine: the split that train would use gives nothing away"
        planted = write_shop(tmp_path / "planted", shop)
        at = shop.bundles.tocoo()
        pl.DataFrame({"user": [f"u{b}" for b in at.row], "item": shop.items[at.col]}).write_csv(
            planted / "feedback.csv"
        )
        call("check-leak", "--data", planted)
        out = capsys.readouterr().out
        assert "LEAK" not in out
        assert "note  nearly all items in one user's feedback, as it comes: 100.0%" in out
        assert "what the split leaves of it" in out.splitlines()[0]
        assert out.splitlines()[-1].startswith("fine: the split")
        assert "fine  nearly all items in one user's feedback: 0.0%" in out

    def test_parts_that_a_data_set_gives(self, tmp_path, capsys):
        write_clhe(tmp_path, train="0, 0, 1\n1, 2, 3\n2, 4, 1, 3, 5\n")
        call("check-leak", "--data", tmp_path, "--set=split=given", status=1)
        out = capsys.readouterr().out
        assert "LEAK  a Jaccard index above 0.5 with a training" in out
        assert out.splitlines()[-1].startswith("LEAK: the split")


class TestColumnsOfItems:
    """A column by another name is told of; a shop without text stays possible."""

    @pytest.mark.parametrize(
        ("columns", "told"),
        [
            (
                {"title": "name"},
                "items.csv: no column title; rename one of name if it is meant; no text is known "
                "of any item",
            ),
            (
                {"category": "Kategorie", "price": "Preis"},
                "items.csv: no column category, price; rename one of Preis, Kategorie if it is",
            ),
            ({"title": None}, "items.csv: no column title; no text is known of any item"),
            ({"category": None, "price": None}, None),
            ({}, None),
        ],
    )
    def test_notes(self, shop, tmp_path, columns, told):
        folder = write_shop(tmp_path / "s", shop)
        frame = pl.read_csv(folder / "items.csv")
        frame = frame.drop([old for old, new in columns.items() if new is None])
        frame.rename({a: b for a, b in columns.items() if b}).write_csv(folder / "items.csv")
        _, *notes = read(folder).notes
        assert len(notes) == (told is not None)
        assert told is None or told in notes[0]

    def test_training_goes_on_without_text(self, shop, tmp_path, capsys):
        folder = write_shop(tmp_path / "s", shop)
        pl.read_csv(folder / "items.csv").drop("title").write_csv(folder / "items.csv")
        call("train", "--data", folder, "--out", tmp_path / "o", "--quiet", "--set=epochs=1")
        assert "; no text is known of any item" in capsys.readouterr().err


class TestWhatWasRead:
    """Files in capitals are read, and a note tells what was read and what was not."""

    def test_names_in_any_case(self, data, tmp_path):
        folder, vectors = shutil.copytree(data, tmp_path / "shop"), np.ones((160, 2))
        np.save(folder / "picture.npy", vectors)
        want = read(folder)
        for old, new in (
            ("items.csv", "items.CSV"),
            ("feedback.csv", "Feedback.CSV"),
            ("bundles.parquet", "BUNDLES.PARQUET"),
            ("picture.npy", "picture.NPY"),
        ):
            (folder / old).rename(folder / new)  # fmt: skip
        found = read(folder)
        assert found.texts == want.texts
        assert (found.feedback == want.feedback).all()
        assert found.vectors.keys() == {"picture"}

    def test_lower_case_where_there_are_both(self, data, tmp_path, capsys):
        folder = shutil.copytree(data, tmp_path / "shop")
        (folder / "items.CSV").write_text("nothing\n")
        call("check-leak", "--data", folder)
        told = f"note: {folder}: read bundles.parquet (bundle, item), feedback.csv (user, item), "
        told += "items.csv (item, title, price, category); files not read: items.CSV\n"
        assert told in capsys.readouterr().err

    def test_columns_and_files_that_are_not_read(self, data, tmp_path):
        folder = shutil.copytree(data, tmp_path / "shop")
        frame = pl.read_csv(folder / "items.csv")
        frame.rename({"category": "Kategorie"}).write_csv(folder / "items.csv")
        (folder / "articles.csv").write_text("item\n")
        (folder / "readme.md").write_text("hello\n")
        told = read(folder).notes[0]
        assert "items.csv (item, title, price; not read: Kategorie); files not read: art" in told
        assert "readme" not in told

    def test_no_items_table(self, data, tmp_path):
        folder = shutil.copytree(data, tmp_path / "shop")
        (folder / "items.csv").unlink()
        (told,) = read(folder).notes[1:]
        assert told.startswith(f"{folder}: no items table (items.csv, .tsv or .parquet), so no ti")


class TestBadData:
    @pytest.mark.parametrize(
        ("file", "text", "message"),
        [
            (
                "bundles.csv",
                "bundle,item\na,item 1\na,soap\n",
                "bundles.csv, row 2: bundle a has item 'soap', which is",
            ),
            (
                "feedback.csv",
                "user,item\na,item 1\na,\n",
                "feedback.csv, row 2: user a has item ''",
            ),
            ("bundles.csv", "bundle,item\na,item 1\nb,\n", "row 2: item is empty, of bundle b"),
            ("bundles.csv", "bundle,thing\na,item 1\n", "has no column 'item'"),
            ("bundles.csv", "bundle,item\n,item 1\n", "row 1: bundle is empty; expected an id"),
            ("items.csv", "item,title\nx,a\ny,\nx,b\n", "rows 1 and 3: item 'x' comes 2 times"),
            ("items.csv", "item,price\nx,cheap\n", "row 1: price is 'cheap'; expected a number"),
        ],
    )
    def test_tables(self, shop, tmp_path, capsys, file, text, message):
        folder = write_shop(tmp_path / "s", shop)
        (folder / "bundles.parquet").unlink() if file == "bundles.csv" else None
        (folder / file).write_text(text)
        call("train", "--data", folder, "--out", tmp_path / "o", status=2)
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
        assert not (tmp_path / "o").exists()

    @pytest.mark.parametrize(
        ("vectors", "message"),
        [
            (np.zeros((3, 4)), "has 3 rows; expected 160"),
            (np.zeros(160), "has shape (160,); expected [items, D]"),
            (np.where(np.arange(320).reshape(160, 2) == 7, np.nan, 1.0), "row 3: holds NaN"),
            (np.where(np.arange(320).reshape(160, 2) == 7, np.inf, 1.0), "row 3: holds NaN"),
            (np.full((160, 2), "soap"), "holds no vectors"),
            (np.array([{"a": 1}] * 160, dtype=object), "is no array, or a damaged one"),
        ],
    )
    def test_vectors(self, shop, tmp_path, capsys, vectors, message):
        folder = write_shop(tmp_path / "s", shop)
        np.save(folder / "picture.npy", vectors)
        call("train", "--data", folder, "--out", tmp_path / "o", status=2)
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1


def write_clhe(folder, train="0, 0, 1\n1, 2, 3\n2, 4, 5, 0\n"):
    """A folder as CLHE's authors lay it out, of two users, five bundles, six items."""
    (folder / "count.json").write_text(json.dumps({"#U": 2, "#B": 5, "#I": 6}))
    files = {
        "ui_full": "0, 1, 2\n1, 3\n", "bi_train": train, "bi_valid_input": "3, 0\n",
        "bi_valid_gt": "3, 2\n", "bi_test_input": "4, 1\n", "bi_test_gt": "4, 3, 5\n",
    }  # fmt: skip
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)


def test_vectors_of_another_width_for_new_items(shop, tmp_path, capsys):
    folder = write_shop(tmp_path / "s", shop)
    np.save(folder / "picture.npy", np.random.default_rng(0).random((160, 4)))
    call("train", "--data", folder, "--out", tmp_path / "o", "--quiet", "--set=epochs=1")
    new = tmp_path / "new"
    new.mkdir()
    (new / "items.csv").write_text("item,title\nlate,Alto blue running shirt\n")
    ask = ["construct", "--model", tmp_path / "o", "--item", "item 1", "--new-items", new]
    call(*ask, "-k", 2)  # without a vector
    np.save(new / "picture.npy", np.ones((1, 3)))
    capsys.readouterr()
    call(*ask, status=2)
    err = capsys.readouterr().err
    assert "vectors picture: have shape (1, 3); expected (1, 4), a row an item" in err
    assert err.count("\n") == 1


def test_bundles_larger_than_the_limit_are_told_of_and_kept(shop, tmp_path, capsys):
    folder = write_shop(tmp_path / "s", shop)
    call("train", "--data", folder, "--out", tmp_path / "o", "--quiet", "--set=epochs=1",
         "--set=longest=3")  # fmt: skip
    assert "training bundles hold more than 3 items (longest)" in capsys.readouterr().err
    cart = tmp_path / "cart.csv"
    rows = [f"a,item {n}\n" for n in (1, 2, 3, 4, 4)]
    cart.write_text("bundle,item\n" + "".join(rows))
    ask = ["construct", "--model", tmp_path / "o", "--data", cart, "--out", tmp_path / "out.csv"]
    call(*ask, status=2)
    err = capsys.readouterr().err
    assert err == "error: bundle a: holds 4 items; expected at most 3 (longest)\n"
    assert not (tmp_path / "out.csv").exists()
    cart.write_text("bundle,item\n" + "".join(rows[1:]))  # one of them twice
    call(*ask, "-k", 1)


def test_clhe_folders(tmp_path, capsys):
    import torch

    write_clhe(tmp_path)
    vectors = torch.ones(6, 3)
    vectors[2] = torch.nan
    torch.save(vectors, tmp_path / "content_feature.pt")
    known = read(tmp_path)
    assert known.bundles.shape == (5, 6)
    assert known.feedback.tolist() == [[0, 1], [0, 2], [1, 3]]
    assert np.isnan(known.vectors["content"]).any(1).tolist() == [False] * 2 + [True] + [False] * 3
    call("train", "--data", tmp_path, "--out", tmp_path / "o", "--set=split=given", "--quiet",
         "--set=epochs=1")  # fmt: skip
    metrics = Metrics.read(tmp_path / "o" / "metrics.json")
    assert {r.n for r in metrics.records} == {1}
    (tmp_path / "bi_train.txt").write_text("0, 0, 9\n")
    call("train", "--data", tmp_path, "--out", tmp_path / "p", status=2)
    assert "bi_train.txt, line 1: item 9; expected below 6" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["1", "0", "half", "-0.5,0.5", ""])
def test_shares_that_are_none(data, tmp_path, capsys, given):
    call("bench", "--data", data, "--out", tmp_path / "b", f"--missing={given}", status=2)
    err = capsys.readouterr().err
    assert err.startswith(f"error: --missing {given}: expected none, or numbers above 0")
    assert err.count("\n") == 1


def test_a_large_catalogue_has_the_literature_once_and_no_ablations():
    jobs = jobs_of(["small", "large"], [*METHODS], 2, 2, (0.5,), {"large"})
    small = [job for job in jobs if job.dataset == "small"]
    large = [job for job in jobs if job.dataset == "large"]
    assert {job.method for job in small} == set(METHODS)
    assert len(small) == 2 * (len(METHODS) + 1) + 2 * len(MISSING)
    assert {job.method for job in large} == {*FIRST, *PEERS}
    assert len(large) == 2 * (len(FIRST) + 1) + len(PEERS)


def test_bench_goes_on_and_writes_its_table(data, tmp_path, monkeypatch):
    out = tmp_path / "b"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for more in ([], ["--resume"]):
        call("bench", "--data", data, "--out", out, "--profile", "smoke", "--quiet",
             "--methods", "simple;nearfar;nearfar, cold items came later", "--seeds", 2,
             "--missing", "0.5", "--processes", 1, *more)  # fmt: skip
    table = (out / "table.md").read_text()
    assert ": one honest split, 2 seeds each of nearfar." in table
    first, curve = table.split("recall@20 by the share of features taken away")
    rows = [line.split("|")[1].strip() for line in first.splitlines() if line.startswith("| ")]
    assert rows[:2] == ["method", "---"]
    assert {"popularity", "best blend", "nearfar", "nearfar, cold items came later"} <= set(rows)
    assert "| method | 0 | 0.5 |" in curve
    assert (out / "shop.png").exists()
    assert (out / "shop_missing.png").exists()
    records = Metrics.read(out / "metrics.json").records
    own = {(r.method, r.seed, r.split) for r in records if r.method.startswith("nearfar")}
    assert own == {
        ("nearfar", 0, "split=0,missing=0.0"), ("nearfar", 1, "split=0,missing=0.0"),
        ("nearfar", 0, "split=0,missing=0.5"),
        ("nearfar, cold items came later", 0, "split=0,missing=0.0"),
    }  # fmt: skip
