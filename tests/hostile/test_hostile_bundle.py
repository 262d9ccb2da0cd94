"""Catalogues, vectors, carts and models made to harm."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hostile_files import (
    Evil,
    assert_refused,
    deep,
    folder,
    huge_safetensors,
    npy_header,
    packed_tensor,
    pickled,
    repeated_parquet,
    status_of,
    torch_pickled,
    zlib_text,
)

HUGE = 10**12
DIGITS = "9" * 5_000  # of more Python makes no number
LONG = "a" * 3_000_000
ZERO = Path("/dev/zero")
TERMINAL = "\x1b]0;owned\x07"
BUNDLES = [(b, 3 * b + k) for b in range(10) for k in range(3)]
LINES = "".join(f"{b}, {3 * b}, {3 * b + 1}, {3 * b + 2}\n" for b in range(8))
PAIRS = "".join(f"{b}\t{i}\n" for b, i in BUNDLES)
TAKEN = "".join(f"{i % 7}\t{i}\n" for i in range(30))

refused = partial(assert_refused, "bundle")


def train(file, *more):
    """Refuses the data set that a file is in, by its name."""
    said = refused("train", "--data", Path(file).parent, "--out", "run", *more)
    assert said.startswith(f"error: {file}"), said
    return said


def shop(files=()):
    """A shop that can be trained on, but for some files."""
    items = "".join(f"i{n},cup {n},cup,1\n" for n in range(30))
    bundles = "".join(f"b{b},i{i}\n" for b, i in BUNDLES)
    good = {
        "items.csv": f"item,title,category,price\n{items}",
        "bundles.csv": f"bundle,item\n{bundles}",
        "feedback.csv": "user,item\nann,i1\nbo,i2\n",
    }
    return folder("shop", good | dict(files))


def clhe(files=()):
    good = {"count.json": '{"#U": 7, "#B": 10, "#I": 30}', "bi_train.txt": LINES}
    for part in ("valid_input", "valid_gt", "test_input", "test_gt"):
        good[f"bi_{part}.txt"] = "9, 1\n"
    return folder("clhe", good | {"ui_full.txt": "0, 1\n1, 2\n"} | dict(files))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A trained one."""
    from dataclasses import replace

    from nearfar_bundle.settings import BundleSettings
    from nearfar_bundle.simulate import simulate
    from nearfar_bundle.split import split_bundles
    from nearfar_bundle.train import train as run_training

    known = simulate(items=60, bundles=40, users=20)
    names = np.array(["=cmd|' /C calc'!A0", "@x", *known.items[2:]])
    pictures = {"picture": np.eye(60, 3, dtype=np.float32)}
    split = split_bundles(replace(known, items=names, vectors=pictures), 0)
    file = tmp_path_factory.mktemp("bundle") / "model.safetensors"
    run_training(split, BundleSettings(epochs=1), 0).save(file)
    return file


class TestShop:
    """Tables and vectors of a retailer's folder."""

    @pytest.mark.parametrize("name", ["items", "bundles", "feedback"])
    def test_tables(self, name):
        header = {"items": "item,title", "bundles": "bundle,item", "feedback": "user,item"}[name]
        for content in (
            b"\x80\x04\x95" + bytes(20), bytes(2**16), ZERO,
            zlib_text(header.encode() + b"\na,b\n"),
            f"{header}\n{LONG},i1\n" + "".join(f"x{n},i1\n" for n in range(2_000)),
            f"{header}\nb\0,i1\n", f"{TERMINAL}\nx\n",
        ):  # fmt: skip
            said = train(shop({f"{name}.csv": content}) + f"/{name}.csv")
            assert "\x1b" not in said
            assert "\x07" not in said

    def test_parquet(self):
        import polars as pl

        def refuses(file):
            train(file)
            Path(file).unlink()

        shop({"bundles.csv": None})
        refuses(pickled("shop/bundles.parquet"))
        refuses(repeated_parquet("shop/bundles.parquet", "bundle", "item"))
        for column in ([["a"]], [{"a": 1}], [b"\xff"]):
            pl.DataFrame({"bundle": ["x"], "item": column}).write_parquet("shop/bundles.parquet")
            refuses("shop/bundles.parquet")
        shop({"items.csv": None})
        for name, column in (("title", [["a"]]), ("category", [{"a": 1}]), ("price", [b"1"])):
            frame = pl.DataFrame({"item": ["i1"], name: column})
            frame.write_parquet("shop/items.parquet")
            refuses("shop/items.parquet")

    def test_vectors(self):
        shop()

        def refuses(file):
            train(file)
            Path(file).unlink()

        for name in ("v.npy", "v.pt", "v.vectors.parquet"):
            refuses(pickled(f"shop/{name}"))
        for make in (torch_pickled, packed_tensor):
            refuses(make("shop/v.pt"))
        np.save("shop/v.npy", np.array([Evil()] * 3, dtype=object))
        refuses("shop/v.npy")
        Path("shop/v.npy").write_bytes(npy_header((2**40, 4), "<f4"))
        refuses("shop/v.npy")
        for link in ("v.npy", "/dev/zero"):
            Path("shop/v.npy").symlink_to(link)
            refuses("shop/v.npy")
        refuses(repeated_parquet("shop/v.vectors.parquet", "a", "b", value=1.0))


class TestOthers:
    """The layouts of published data sets."""

    def test_bundlerec(self):
        bundles = "".join(f"{b},{i}\n" for b, i in BUNDLES)
        path = ",".join(["a"] * 100_000)
        titles = "".join(f"{n},a\n" for n in range(2_000))
        for name, content in (
            ("bundle_item", f"bundle ID,item ID\n{bundles}77,\n"),
            ("item_categories", f'item ID,categories\n1,"[{path}]"\n'),
            ("item_titles", f"item ID,titles\n{LONG},a\n{titles}"),
            ("user_item", b"\x80\x04\x95"), ("session_bundle", ZERO),
        ):  # fmt: skip
            good = {"bundle_item.csv": f"bundle ID,item ID\n{bundles}"}
            folder("rec", good | {f"{name}.csv": content})
            said = refused("train", "--data", "rec", "--out", "run")
            assert name in said or "None" in said
            Path(f"rec/{name}.csv").unlink()
        for item in (DIGITS, "²"):
            folder("rec", {"bundle_item.csv": f"bundle ID,item ID\n1,{item}\n2,1\n"})
            refused("train", "--data", "rec", "--out", "run")

    def test_clhe_counts(self):
        counts = ["[" * 100_000, ZERO, "[4]", f'{{"#U": {HUGE}, "#I": 30}}', b"\xff"]
        counts += [f'{{"#U": 7, "#I": {n}}}' for n in (HUGE, -1, "Infinity", DIGITS, "[]", "{}")]
        for content in counts:
            train(clhe({"count.json": content}) + "/count.json")

    @pytest.mark.parametrize("name", ["bi_train", "bi_valid_gt", "ui_full"])
    def test_clhe_lines(self, name):
        for content in (
            b"\xff\xfe1, 2\n", "1, ²\n", f"{DIGITS}, 1\n", f"{2**64}, 1\n", ZERO,
            f"{TERMINAL}\n", bytes(2**16), f"1, {HUGE}\n",
        ):  # fmt: skip
            said = train(clhe({f"{name}.txt": content}) + f"/{name}.txt")
            assert "\x1b" not in said

    def test_clhe_features(self):
        clhe({"bi_test_gt.txt": Path("bi_test_gt.txt")})
        train("clhe/bi_test_gt.txt")
        clhe()
        for make in (pickled, torch_pickled, packed_tensor):
            train(make("clhe/content_feature.pt"))

    @pytest.mark.parametrize("name", ["bundle_item", "user_item"])
    def test_youshu(self, name):
        good = {"bundle_item.txt": PAIRS, "user_item.txt": TAKEN}
        for content in (
            b"\xff\xfe1 2\n", "1 ²\n", f"1 {DIGITS}\n", f"1 {2**64}\n", f"1 {HUGE}\n",
            f"{HUGE} 1\n", ZERO, bytes(2**16),
        ):  # fmt: skip
            train(folder("youshu", good | {f"{name}.txt": content}) + f"/{name}.txt")
        folder("youshu", good | {"bundle_item.txt": ""})
        train("youshu/bundle_item.txt")

    def test_mealrec(self):
        good = {"meal_course.txt": PAIRS, "user_course.txt": TAKEN}
        for content in (f"{HUGE} 1\n", b"\xff 1\n", ZERO):
            folder("meals", good | {"course_category.txt": content})
            train("meals/course_category.txt")


class TestVerbs:
    """Each reads what train reads, by the same readers."""

    def test_data(self, model):
        shop({"items.csv": f"item\n{LONG}\n" + "".join(f"i{n}\n" for n in range(2_000))})
        for call in (
            ("evaluate", "--model", model, "--out", "out"), ("check-leak",),
            ("bench", "--out", "out", "--profile", "smoke", "--processes", 1),
        ):  # fmt: skip
            assert "items.csv: holds a name of" in refused(*call, "--data", "shop")

    def test_carts(self, model):
        cart = partial(refused, "construct", "--model", model, "--out", "found.csv", "--data")
        rows = "".join(f"x{n},item 3\n" for n in range(2_000))
        folder("carts", {"packed.csv": zlib_text(b"bundle,item\nx,item 1\n"), "zero.csv": ZERO,
                         "long.csv": f"bundle,item\n{LONG},item 3\n{rows}",
                         "none.csv": "bundle,item\nx,\n",
                         "round.csv": Path("round.csv")})  # fmt: skip
        for name in ("packed", "zero", "long", "round"):
            assert f"carts/{name}.csv: " in cart(f"carts/{name}.csv")
        cart("carts/none.csv")
        for make in (pickled, deep):
            for name in ("carts/cart.csv", "carts/cart.parquet"):
                assert name in cart(make(name))

    def test_new_items(self, model):
        new = partial(refused, "construct", "--model", model, "--item", "item 3", "--new-items")
        header = "item,title,kind,price\n"
        for item in (LONG, "item 3", "b\0"):
            new(shop({"items.csv": f"{header}{item},cup,cup,1\n"}))
        assert "\x1b" not in new(shop({"items.csv": f"{TERMINAL}\na\n"}))
        pickled(shop({"items.csv": f"{header}a,cup,cup,1\n"}) + "/picture.npy")
        assert "picture.npy" in new("shop")
        np.save("shop/picture.npy", np.zeros((30, 2**10), np.float32))
        new("shop")

    def test_a_sentence_encoder(self):
        pytest.importorskip("transformers")
        evil = folder("evil", {"m.py": "open('owned', 'w')\n", "config.json": json.dumps({
            "model_type": "evil", "auto_map": {"AutoConfig": "m.C", "AutoModel": "m.M"},
        })})  # fmt: skip
        train_with = partial(refused, "train", "--data", shop(), "--out", "run", "--set")
        assert "evil: is no sentence encoder" in train_with(f"sentences={evil}")
        pickled("evil/model.safetensors")
        deep("evil/config.json")
        assert "evil/config.json" in train_with(f"sentences={evil}")

    def test_what_a_run_has_left(self):
        from nearfar_bundle.profiles import PROFILES
        from nearfar_bundle.settings import BundleSettings
        from nearfar_kit.checkpoint import save_checkpoint
        from nearfar_kit.settings import as_yaml, load_settings

        begun = {"seed": 0, "items": 30, "bundles": 7, "feedback": 2}
        file = Path("run/checkpoint/training-default.safetensors")
        go_on = partial(refused, "train", "--data", shop(), "--out", "run", "--resume")
        for make in (pickled, deep, huge_safetensors):
            make(str(file))
            folder("run", {"settings.yaml": as_yaml(BundleSettings()), "log.jsonl": ""})
            assert f"{file}: " in go_on()
        for state in ([1], {"a": 1}, {"begun_with": begun, "state": {"model": {}}}):
            save_checkpoint(file, state)
            said = go_on()
            assert f"{file}: " in said
        smoke = load_settings(BundleSettings, base=PROFILES["smoke"].settings)
        job = "out/checkpoint/jobs/shop_simple_split0_seed0.json"
        for content in ("[" * 100_000, "{}", '{"records": [1]}', '{"records": [{"value": 1}]}'):
            folder("out/checkpoint/jobs", {Path(job).name: content})
            folder("out", {"settings.yaml": as_yaml(smoke), "log.jsonl": ""})
            assert f"{job}: " in refused(
                "bench", "--data", "shop", "--out", "out", "--profile", "smoke", "--resume",
                "--methods", "simple", "--splits", 1, "--seeds", 1, "--missing", "none",
            )  # fmt: skip


class TestModel:
    @pytest.mark.parametrize("make", [pickled, torch_pickled, huge_safetensors, deep])
    def test_none(self, make):
        file = make("run/checkpoint/model.safetensors")
        assert file in refused("construct", "--model", "run", "--item", "a", "--out", "found.csv")
        assert file in refused("evaluate", "--model", "run", "--data", shop(), "--out", "out")

    def test_that_does_not_hold_together(self, model):
        import torch

        from nearfar_bundle.builder import Builder
        from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
        from nearfar_kit.errors import UserError

        good = load_checkpoint(model)
        first, *others = good["blocks"]
        told, settings, weights = good["description"], good["settings"], good["model"]
        for name in good.keys() - {"prices", "history"}:
            for value in (None, 5, "x", [], {}, [[1]], torch.zeros(2), torch.arange(3)):
                if (name, str(value)) not in {("labels", "{}"), ("settings", "{}"), ("seed", "5")}:
                    save_checkpoint("evil.safetensors", good | {name: value})
                    with pytest.raises(UserError):
                        Builder.load(Path("evil.safetensors"))
        harms: list[dict] = [{"blocks": [5]}, {"labels": {"kind": 5}}]
        harms += [{"settings": settings | own} for own in (
            {"encoder": True, "width": 10**6}, {"width": "x"}, {"owned": 1},
            {"encoder": True, "evidence": False, "towers": "separate", "hidden_width": 10**6},
        )]  # fmt: skip
        harms += [{"blocks": [first | own, *others]} for own in (
            {"indices": first["indices"] + 10**9}, {"indices": -1 - first["indices"]},
            {"shape": [60, 10**12]}, {"shape": [10**12, 5]}, {"indptr": first["indptr"].flip(0)},
            {"data": first["data"].double()}, {"kind": "evil"}, {"columns": ["a"]}, {"name": "x"},
        )]  # fmt: skip
        harms += [{"items": ["a" * 10**6] + ["b"] * 10**4}, {"items": ["a"] * 60},
                  {"prices": torch.zeros(3)}, {"seed": -1}, {"content": 10**12},
                  {"labels": {"kind": [[1]] * 60}}, {"dense": [own[:9] for own in good["dense"]]},
                  {"model": weights | {"x": torch.zeros(1)}}, {"degrees": good["degrees"][:9]},
                  {"model": {name: own * float("nan") for name, own in weights.items()}},
                  {"description": told | {"planes": {}}}, {"description": told | {"texts": {}}},
                  {"description": told | {"widths": {"picture": 10**12}}}]  # fmt: skip
        for harm in harms:
            save_checkpoint("evil.safetensors", good | harm)
            said = refused("construct", "--model", "evil.safetensors", "--item", "item 3")
            assert said.startswith("error: evil.safetensors: "), (harm, said)
        save_checkpoint("evil.safetensors", [1])
        refused("construct", "--model", "evil.safetensors", "--item", "item 3")


def test_formulas_are_no_formulas_in_what_is_written(model):
    Path("carts.csv").write_text("bundle,item\n=1+1,item 3\n")
    call = ("construct", "--model", model, "--data", "carts.csv", "-k", 100, "--out")
    assert status_of("bundle", *call, "found.csv")[0] == 0
    rows = Path("found.csv").read_text().splitlines()[1:]
    assert len(rows) == 59
    assert all(row.startswith("'=1+1,") for row in rows)
    items = {row.split(",")[2] for row in rows}
    assert {"'=cmd|' /C calc'!A0", "'@x"} < items
    Path("kept").write_text("whole")
    Path("link.csv").symlink_to("kept")
    assert status_of("bundle", *call, "link.csv")[0] == 0
    assert Path("kept").read_text() == "whole"  # the link is replaced, not what it leads to
    assert not Path("owned").exists()
