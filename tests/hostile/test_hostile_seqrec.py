"""Interactions, features of items and models made to harm."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hostile_files import (
    assert_refused,
    deep,
    folder,
    huge_safetensors,
    pickled,
    repeated_parquet,
    status_of,
    torch_pickled,
    zlib_text,
)

LONG = "a" * 3_000_000
DIGITS = "9" * 5_000  # of more Python makes no number
ZERO = Path("/dev/zero")
TERMINAL = "\x1b]0;owned\x07"
ROUND = [(f"u{n}", f"i{(n + k) % 8}", k) for n in range(20) for k in range(8)]
SMALL = {"method": "sasrec", "width": 4, "layers": 1, "heads": 1, "inner_width": 4, "longest": 4}

refused = partial(assert_refused, "seqrec")


def train(file, *more):
    """Refuses a file by its name."""
    said = refused("train", "--data", file, "--out", "run", *more)
    assert said.startswith(f"error: {file}"), said
    assert "\x1b" not in said
    return said


def clicks(path="clicks.csv", rows=ROUND):
    lines = "".join(f"{user},{item},{time}\n" for user, item, time in rows)
    Path(path).write_text(f"user,item,time\n{lines}")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """One that has learnt nothing, of items that a spreadsheet would run."""
    from nearfar_seqrec.features import features_of
    from nearfar_seqrec.models import new_model
    from nearfar_seqrec.recommender import Recommender
    from nearfar_seqrec.sequences import sequences_of
    from nearfar_seqrec.settings import SeqrecSettings

    items = ["=cmd|' /C calc'!A0", "@x", "-2+3", *(f"i{n}" for n in range(5))]
    known = sequences_of([(f"=u{n}", items[n:] + items[:n]) for n in range(8)])
    features = features_of([(item, item[:1]) for item in items], known.items)
    settings = SeqrecSettings(**SMALL)
    file = tmp_path_factory.mktemp("seqrec") / "model.safetensors"
    made = new_model(settings, len(items), features=features).eval()
    Recommender(settings, known, made, features=features).save(file)
    return file


class TestInteractions:
    """Each layout that train reads."""

    def test_a_table(self):
        many = "".join(f"x{n},i1,1\n" for n in range(2_000))
        for ending in ("csv", "tsv"):
            for content in (
                b"\x80\x04\x95" + bytes(20), bytes(2**16), ZERO,
                zlib_text(b"user,item,time\na,b,1\n"),
                f"user,item,time\n{LONG},i1,1\n{many}", f"user,item,time\nu,{LONG},1\n{many}",
                "user,item,time\na\0,b,1\n", f"{TERMINAL}\na\n", f"user,item,time\nu,i,{DIGITS}\n",
                f"user,item,time\nu,i,{TERMINAL}\n", Path(f"clicks.{ending}"),
            ):  # fmt: skip
                if ending == "tsv" and isinstance(content, str):
                    content = content.replace(",", "\t")
                folder("data", {f"clicks.{ending}": content})
                train(f"data/clicks.{ending}")

    def test_parquet(self):
        import polars as pl

        folder("data", {})
        file = "data/clicks.parquet"
        train(pickled(file))
        train(repeated_parquet(file, "user", "item", "time"))
        for name in ("user", "item", "time"):
            for column in ([["a"]], [{"a": 1}], [b"\xff"]):
                row = {"user": ["u"], "item": ["i"], "time": [1]} | {name: column}
                pl.DataFrame(row).write_parquet(file)
                train(file)

    def test_lines(self):
        many = "".join(f"x{n}\ti1\n" for n in range(2_000))
        for content in (
            b"\x80\x04\x95", ZERO, f"{LONG} i1\n{many}", f"u\t{LONG}\n{many}", "u\ta\0\n",
            f"{TERMINAL}\n", "", Path("clicks.txt"),
        ):  # fmt: skip
            folder("data", {"clicks.txt": content})
            train("data/clicks.txt")

    def test_atomic(self):
        header = "user_id:token\titem_id:token\ttimestamp:float\n"
        many = "".join(f"x{n}\ti1\t1\n" for n in range(2_000))
        for content in (
            b"\x80\x04\x95" + bytes(20), bytes(2**16), ZERO,
            zlib_text(header.encode() + b"a\tb\t1\n"),
            f"{header}{LONG}\ti1\t1\n{many}", f"{header}u\ti\t{DIGITS}\n", f"{TERMINAL}\nx\n",
        ):  # fmt: skip
            folder("clicks", {"clicks.inter": content})
            said = refused("train", "--data", "clicks", "--out", "run")
            assert said.startswith("error: clicks/clicks.inter"), said
            assert "\x1b" not in said


class TestFeatures:
    def test_each_kind(self):
        clicks()
        for ending, contents in {
            "item": [b"\x80\x04", ZERO, zlib_text(b"item_id:token\tb:token\ni1\tx\n"), bytes(2**16),
                     f"item_id:token\t{TERMINAL}:token\n"],
            "csv": [b"\x80\x04", ZERO, zlib_text(b"item,b\ni1,x\n"), bytes(2**16),
                    f"{TERMINAL}\n1\n"],
            "tsv": [b"\x80\x04", ZERO, zlib_text(b"item\tb\ni1\tx\n")],
            "json": ["[" * 100_000, '{"i1": ' + "[" * 100_000, b"\x80\x04", ZERO, DIGITS,
                     f'{{"i1": "{TERMINAL!r}"}}', "[]"],
            "parquet": [b"\x80\x04", ZERO],
        }.items():  # fmt: skip
            for content in contents:
                folder("data", {f"f.{ending}": content})
                said = refused("train", "--data", "clicks.csv", "--out", "run",
                               "--set", f"features=data/f.{ending}")  # fmt: skip
                assert f"data/f.{ending}" in said
                assert "\x1b" not in said

    def test_parquet(self):
        import polars as pl

        clicks()
        call = ("train", "--data", "clicks.csv", "--out", "run", "--set", "features=f.parquet")
        repeated_parquet("f.parquet", "item", "of")
        assert "f.parquet: unpacks to" in refused(*call)
        for name, column in (("item", [["i1"]]), ("of", [b"\xff"]), ("of", [[["a"]]]),
                             ("of", [[{"a": 1}]])):  # fmt: skip
            pl.DataFrame({"item": ["i1"], "of": ["x"]} | {name: column}).write_parquet("f.parquet")
            assert "f.parquet: " in refused(*call)


class TestVerbs:
    """Each reads what train reads, by the same readers."""

    def test_data(self, model):
        rows = [(LONG, "i1", 1), *ROUND, *((f"x{n}", "i1", 1) for n in range(2_000))]
        clicks(rows=rows)
        for call in (
            ("evaluate", "--model", model, "--out", "out"),
            ("recommend", "--model", model, "--out", "lists.csv"), ("bench", "--out", "out"),
        ):  # fmt: skip
            assert "clicks.csv: holds a name of" in refused(*call, "--data", "clicks.csv")
        for make in (pickled, deep):
            file = make("new.txt")
            refused("recommend", "--model", model, "--data", file, "--out", "lists.csv")

    def test_what_a_run_has_left(self):
        from nearfar_kit.checkpoint import save_checkpoint
        from nearfar_kit.settings import as_yaml, load_settings
        from nearfar_seqrec.profiles import PROFILES
        from nearfar_seqrec.settings import SeqrecSettings

        file = Path("run/checkpoint/training-sasrec.safetensors")
        settings = SeqrecSettings(**SMALL)
        sets = [word for name, own in SMALL.items() for word in ("--set", f"{name}={own}")]
        go_on = partial(refused, "train", "--data", clicks(), "--out", "run", "--resume", *sets)
        begun = {"seed": 0, "users": 20, "interactions": 160, "items": 8, "features": 0}
        for make in (pickled, deep, huge_safetensors):
            make(str(file))
            folder("run", {"settings.yaml": as_yaml(settings), "log.jsonl": ""})
            assert f"{file}: " in go_on()
        for state in ([1], {"a": 1}, {"begun_with": begun, "state": {"model": {}}}):
            save_checkpoint(file, state)
            assert f"{file}: " in go_on()
        for content in ("!!python/object/apply:os.system ['touch owned']", "[" * 5_000, ZERO):
            folder("run", {"settings.yaml": content})
            assert "run/settings.yaml: " in go_on()
        smoke = load_settings(SeqrecSettings, base=PROFILES["smoke"].settings)
        job = "out/checkpoint/jobs/clicks_popular_0_0.json"
        for content in ("[" * 100_000, "{}", '{"valid": 1, "records": [1]}'):
            folder("out/checkpoint/jobs", {Path(job).name: content})
            folder("out", {"settings.yaml": as_yaml(smoke), "log.jsonl": ""})
            said = refused("bench", "--data", "clicks.csv", "--out", "out", "--profile", "smoke",
                           "--resume", "--methods", "popular", "--seeds", 1)  # fmt: skip
            assert f"{job}: " in said


class TestModel:
    @pytest.mark.parametrize("make", [pickled, torch_pickled, huge_safetensors, deep])
    def test_none(self, make):
        file = make("run/checkpoint/model.safetensors")
        for call in (
            ("recommend", "--item", "i1", "--out", "lists.csv"), ("export", "--out", "vectors"),
            ("evaluate", "--data", clicks(), "--out", "out"),
        ):  # fmt: skip
            assert file in refused(*call, "--model", "run")

    def test_that_does_not_hold_together(self, model):
        import torch

        from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
        from nearfar_kit.errors import UserError
        from nearfar_seqrec.recommender import Recommender

        good = load_checkpoint(model)
        known, settings, weights = good["features"], good["settings"], good["model"]
        for name in good.keys() - {"history", "dropped"}:
            for value in (None, 5, "x", [], {}, [[1]], torch.zeros(2), torch.arange(3)):
                if (name, str(value)) != ("epochs", "5"):
                    save_checkpoint("evil.safetensors", good | {name: value})
                    with pytest.raises(UserError):
                        Recommender.load(Path("evil.safetensors"))
        flat, start = good["flat"], good["start"]
        harms: list[dict] = [{"settings": settings | own} for own in (
            {"width": 10**6}, {"longest": 10**9}, {"layers": 10**9}, {"inner_width": 10**9},
            {"method": "gru4rec", "width": 10**5}, {"method": "mclrec", "width": 10**5},
            {"width": "x"}, {"owned": 1}, {"heads": 3},
        )]  # fmt: skip
        nan = {name: own * float("nan") for name, own in weights.items()}
        harms += [{"flat": flat + 10**9}, {"flat": flat - 1}, {"flat": flat.int()},
                  {"flat": flat[:9]}, {"start": start.flip(0)}, {"start": start * 10**9},
                  {"start": start[:3]}, {"start": torch.zeros_like(start)},
                  {name: ["a" * 10**6] + ["b"] * 10**4 for name in ("users", "items", "dropped")},
                  {"items": [5] * 8},
                  {"features": known | {"feature": known["feature"] + 10**9}},
                  {"features": known | {"start": known["start"].flip(0)}},
                  {"features": known | {"names": []}}, {"features": None},
                  {"model": weights | {"x": torch.zeros(1)}}, {"model": nan}]  # fmt: skip
        for harm in harms:
            save_checkpoint("evil.safetensors", good | harm)
            said = refused("recommend", "--model", "evil.safetensors", "--item", "i1")
            assert said.startswith("error: evil.safetensors: "), (harm, said)


def test_formulas_are_no_formulas_in_what_is_written(model):
    Path("kept").write_text("whole")
    Path("lists.csv").symlink_to("kept")
    folder("vectors", {"items.csv": Path("../kept")})
    assert status_of("seqrec", "recommend", "--model", model, "--out", "lists.csv", "-k", 8,
                     "--repeat")[0] == 0  # fmt: skip
    assert status_of("seqrec", "export", "--model", model, "--out", "vectors")[0] == 0
    found = [row.split(",")[:3] for row in Path("lists.csv").read_text().splitlines()[1:]]
    assert {row[0] for row in found} == {f"'=u{n}" for n in range(8)}
    items = {"'=cmd|' /C calc'!A0", "'@x", "'-2+3", *(f"i{n}" for n in range(5))}
    assert {row[2] for row in found} == items
    assert {*Path("vectors/items.csv").read_text().splitlines()} == {"item", *items}
    assert Path("kept").read_text() == "whole"  # links are replaced, not what they lead to
    assert not Path("owned").exists()
