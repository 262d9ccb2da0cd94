"""Item features: read from any file into the same pairs, and added to the items' vectors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nearfar_kit.errors import UserError
from nearfar_seqrec.data import split_of
from nearfar_seqrec.export import item_vectors
from nearfar_seqrec.features import features_of, read_features
from nearfar_seqrec.recommend import histories_of, recommend
from nearfar_seqrec.recommender import Recommender
from nearfar_seqrec.sequences import sequences_of
from nearfar_seqrec.split import leave_one_out
from nearfar_seqrec.train import Training, train

ITEMS = ["tea", "salt", "rice"]
WORDS = st.sampled_from([*ITEMS, "soap", "oil"])


def named(found, items):
    """(item, feature) pairs, as they were told."""
    return {
        (items[i - 1], found.names[f])
        for i in range(1, len(items) + 1)
        for f in found.feature[found.start[i] : found.start[i + 1]]
    }


@given(st.lists(st.tuples(WORDS, st.sampled_from("abcd"))))
def test_pairs_come_back_once_and_those_of_other_items_do_not(rows):
    found = features_of(rows, ITEMS)
    assert named(found, ITEMS) == {(i, f) for i, f in rows if i in ITEMS}
    assert len(found.feature) == len(named(found, ITEMS))
    assert list(found.names) == sorted({f for i, f in rows if i in ITEMS})
    assert found.start[1] == 0  # padding has none


WANT = {("tea", "kind=drink"), ("tea", "kind=hot"), ("rice", "kind=food"), ("rice", "from=asia")}


def write_atomic(path):
    path.write_text(
        "item_id:token\tkind:token_seq\tfrom:token\tyear:float\n"
        "tea\tdrink hot\t\t1\nrice\tfood\tasia\t2\nsoap\tclean\teurope\t3\n"
    )


@pytest.mark.parametrize("name", ["f.ITEM", "f.CSV", "f.Json"])
def test_endings_in_capitals(tmp_path, name):
    path = tmp_path / name
    write = {"f.ITEM": write_atomic, "f.CSV": write_csv}
    write.get(name, lambda path: path.write_text('{"tea": ["hot"]}'))(path)
    assert len(read_features(path, ITEMS).feature)


def write_csv(path):
    path.write_text("item,kind,from\ntea,drink,\ntea,hot,\nrice,food,asia\nsoap,clean,europe\n")


def write_parquet(path):
    rows = {
        "item": ["tea", "rice", "soap"],
        "kind": [["drink", "hot"], ["food"], []],
        "from": [None, "asia", "europe"],
    }
    pl.DataFrame(rows).write_parquet(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [("x.item", write_atomic), ("x.csv", write_csv), ("x.parquet", write_parquet)],
)
def test_every_kind_of_file(tmp_path, name, write):
    write(tmp_path / name)
    assert named(read_features(tmp_path / name, ITEMS), ITEMS) == WANT
    kinds = read_features(tmp_path / name, ITEMS, ["kind"])
    assert named(kinds, ITEMS) == {pair for pair in WANT if pair[1].startswith("kind")}


def test_json_of_lists(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"tea": [1, 2], "soap": [3], "rice": [2]}))
    found = read_features(tmp_path / "x.json", ITEMS)
    assert named(found, ITEMS) == {("tea", "1"), ("tea", "2"), ("rice", "2")}


@pytest.mark.parametrize(
    ("name", "text", "fields", "message"),
    [
        ("x.txt", "", [], "expected a file that ends in"),
        ("none.csv", None, [], "no such file"),
        ("none.json", None, [], "no such file"),
        ("x.csv", "thing,kind\ntea,hot\n", [], "has no column item; found thing, kind"),
        ("x.csv", "item,kind\ntea,hot\n", ["colour"], "has no column colour; found item, kind"),
        ("x.csv", "item,kind\nsoap,clean\n", [], "tells nothing of any of the 3 items"),
        ("x.item", "item_id:token\tyear:float\ntea\t1\n", ["year"], "year is of type 'float'"),
        ("x.json", "{", [], "is no valid JSON"),
        ("x.json", "[]", [], "holds no lists by item"),
        ("x.json", '{"tea": "hot"}', [], "item 'tea' has 'hot'; expected a list"),
        ("x.json", "{}", ["kind"], "has no fields"),
        ("x.parquet", "no parquet", [], "cannot be read"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, name, text, fields, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message) as told:
        read_features(tmp_path / name, ITEMS, fields)
    assert "\n" not in str(told.value)
    assert name in str(told.value)


@pytest.fixture(scope="module")
def told(circle_split):
    """A feature for the even items, another for the odd ones; the first has both, the last none."""
    items = circle_split.sequences.items.tolist()
    rows = [(name, f"half {n % 2}") for n, name in enumerate(items[:-1])] + [(items[0], "half 1")]
    return replace(circle_split, features=features_of(rows, items))


@pytest.mark.parametrize("method", ["sasrec", "gru4rec", "mclrec"])
def test_a_vector_is_the_items_own_and_the_mean_of_its_features(told, small, method):
    model = Training(told, small(method=method), seed=0).model.eval()
    with torch.no_grad():
        model.feature_embedding.weight.copy_(torch.tensor([[1.0] * 8, [3.0] * 8]))
    more = (model.item_vectors() - model.item_embedding.weight).detach().numpy()
    want = [0.0, 2.0, *(1.0 if n % 2 == 0 else 3.0 for n in range(1, 11)), 0.0]
    assert np.allclose(more, np.array(want)[:, None], atol=1e-6)
    items = torch.tensor([[3, 12, 0]])
    assert torch.equal(model.vectors_of(items), model.item_vectors()[items])
    plain = model.states(items).detach()
    with torch.no_grad():
        model.feature_embedding.weight[0] += torch.arange(8.0)
    assert not torch.allclose(model.states(items)[0, 0], plain[0, 0], atol=1e-3)


def test_items_never_trained_on_are_told_apart_by_features(small):
    """Of two items that nobody took in training, the one that is like what people take is ranked

    first: without features nothing tells them apart.
    """
    chance = np.random.default_rng(0)
    halves = [[f"a{n}" for n in range(6)], [f"b{n}" for n in range(6)]]
    rows = [(f"u{n}", [*chance.choice(halves[n % 2], 8), "a9", "b9"]) for n in range(60)]
    sequences = sequences_of(rows)
    known = [(name, name[0]) for name in sequences.items.tolist()]
    split = replace(leave_one_out(sequences), features=features_of(known, sequences.items.tolist()))
    settings = small(method="sasrec", epochs=15, learning_rate=0.03, dropout=0.0, patience=15)
    trained = train(split, settings)
    lists = recommend(
        trained, [(u, s[:8]) for u, s in histories_of(trained)], 14, repeat=True
    ).to_dict(as_series=False)
    place = {(u, i): r for u, i, r in zip(lists["user"], lists["item"], lists["rank"], strict=True)}
    right = [
        place[f"u{n}", "a9" if n % 2 == 0 else "b9"] < place[f"u{n}", "b9" if n % 2 == 0 else "a9"]
        for n in range(60)
    ]
    assert np.mean(right) > 0.9


def test_they_are_kept_with_the_model(told, small, tmp_path):
    trained = train(told, small(method="sasrec", epochs=1))
    trained.save(tmp_path / "m.safetensors")
    loaded = Recommender.load(tmp_path / "m.safetensors")
    assert loaded.features.names == ("half 0", "half 1")
    assert np.array_equal(item_vectors(loaded), item_vectors(trained))


def test_as_a_setting(circle_rows, small, tmp_path):
    write = pl.DataFrame({"item": ["item 1", "item 2"], "kind": ["a", "b"]}).write_csv
    write(tmp_path / "f.csv")
    split = split_of(sequences_of(circle_rows), small(features=tmp_path / "f.csv"))
    assert split.features.names == ("kind=a", "kind=b")
    assert split_of(sequences_of(circle_rows), small()).features is None
