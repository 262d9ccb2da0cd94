"""Tables, lakes, answers of servers and models made to harm."""

from __future__ import annotations

import csv
import gzip
import json
import os
import sqlite3
import threading
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from hostile_files import (
    assert_refused,
    deep,
    huge_safetensors,
    npy_header,
    pickled,
    status_of,
    torch_pickled,
)

TERMINAL = "\x1b]0;owned\x07"
SHOPS = "name,city\ngolden dragon,boston\nblue lagoon,salem\ncasa pepe,lowell\n"


def text(path: str, content: str | bytes) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def bomb(path: str, line: bytes) -> str:
    """Small, and unpacks to gigabytes of rows."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"name,city\n")
        for _ in range(2**28 // 2**20 + 1):
            file.write(line * (2**20 // len(line)))
    return path


def parquet(path: str, kind: str) -> str:
    """Made with pyarrow: polars' threads are for the commands alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if kind == "many rows":
        table = pa.table({f"c{n}": pa.array(np.zeros(2**22, np.int8)) for n in range(40)})
    elif kind == "one text in many rows":
        words = pa.DictionaryArray.from_arrays(np.zeros(2**9, np.int32), ["long " * 2**18])
        table = pa.table({"name": words})
    elif kind == "long lists":
        flat = pa.array(np.zeros(2**20, np.int8))
        table = pa.table({"name": pa.LargeListArray.from_arrays([0, len(flat)], flat)})
        with pq.ParquetWriter(path, table.schema) as file:
            for _ in range(2**7 + 1):
                file.write_table(table)
        return path
    elif kind == "one text in lists":
        words = pa.DictionaryArray.from_arrays(np.zeros(2**9, np.int32), ["long " * 2**18])
        table = pa.table({"name": pa.LargeListArray.from_arrays([0, len(words)], words)})
    else:
        table = pa.table({"left": [[1]], "right": [[2]], "name": [{"a": 1}], "b": [b"\xff\xfe"]})
    if path.endswith(".parquet"):
        pq.write_table(table, path, compression="zstd")
    else:
        with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(
            compression="zstd"
        )) as file:  # fmt: skip
            file.write_table(table)
    return path


class TestTables:
    """What each verb reads rows from, by one reader."""

    def refused(self, data, verb="match", **how):
        more = {
            "match": ("--out", "pairs.csv", "--set=epochs=0"),
            "group": ("--rows", 3, "--out", "sets.csv"),
            "resolve": ("--sets", "city", "--out", "table.csv"),
            "integrate": ("--out", "run", "--set=epochs=0", "--processes", 1),
        }[verb]
        return assert_refused("tables", verb, "--data", data, *more, **how)

    @pytest.mark.parametrize("verb", ["match", "group", "resolve", "integrate"])
    def test_none(self, verb):
        for ending in ("csv", "tsv", "csv.gz", "parquet", "arrow", "feather"):
            self.refused(pickled(f"x.{ending}"), verb)
        self.refused(deep("deep.parquet"), verb)
        self.refused(text("zeros.csv", bytes(2**20)), verb)
        Path("round.csv").symlink_to("round.csv")
        self.refused("round.csv", verb)
        Path("end.csv").symlink_to("/dev/zero")
        self.refused("end.csv", verb)
        os.mkfifo("pipe.csv")
        self.refused("pipe.csv", verb)

    def test_of_pairs_and_of_sets(self):
        text("rows.csv", SHOPS)
        wide = text("wide.csv", "left,right\n0,1\n" + "," * 10**6 + "\n" * 10 + "0\n" * 10**4)
        match = ("match", "--data", "rows.csv", "--out", "o.csv", "--set=epochs=0", "--pairs")
        for table in (
            pickled("p.csv"), bomb("b.csv.gz", b"1,2\n"), wide, parquet("n.parquet", "nested"),
            text("l.csv", f"left,right,label\n0,1,{10**17}\n"),
            text("f.csv", f"left,right\n0,{TERMINAL}\n"), text("h.csv", f"left,right\n0,{2**70}\n"),
        ):  # fmt: skip
            assert "\x1b" not in assert_refused("tables", *match, table)
            assert_refused("tables", "resolve", "--data", "rows.csv", "--out", "o.csv",
                           "--sets", table)  # fmt: skip
        for probability in ("inf", "-inf", "nan", "1e999"):
            table = text("g.csv", f"left,right,probability\n0,1,0.5\n1,2,{probability}\n")
            assert "row 1: probability" in self.refused(table, "group")

    @pytest.mark.parametrize("line", [b"a,b\n", b"\n", b"aaaaaaaa", b'"'])
    def test_a_bomb(self, line):
        assert "unpacks to more than" in self.refused(bomb("b.csv.gz", line))

    def test_one_long_row_among_short_ones(self):
        short = "a,b\n" * 10**5
        self.refused(text("x.csv", f"name,city\n{short}{',' * 60_000}\n{short}"))
        self.refused(text("x.csv", ",".join(map(str, range(60_000))) + f"\n{short}"))
        self.refused(text("x.csv", "," * 10**6 + "\n1\n"))
        self.refused(text("x.csv", '"' + "a" * 2**25))

    def test_a_header_of_one_name(self):
        """Told in no time, and that there are more columns than can be compared."""
        header = "a," * 8_000
        assert "columns; expected" in self.refused(text("x.csv", f"{header}\nx y,1\nx y,2\n"))
        more = text("in/x.csv", f"{header}\nx y,1\n")
        text("in/y.csv", SHOPS)
        status, said = status_of("tables", "integrate", "--data", Path(more).parent,
                                 "--out", "run", "--set=epochs=0", "--processes", 1)  # fmt: skip
        assert status == 2, said
        assert said.splitlines()[-1].startswith("error: the table has 800")
        assert not Path("run").exists()

    @pytest.mark.parametrize("ending", ["parquet", "arrow"])
    @pytest.mark.parametrize(
        "kind", ["many rows", "one text in many rows", "one text in lists", "nested"]
    )
    def test_typed(self, kind, ending):
        made = parquet(f"x.{ending}", kind)
        if kind != "nested":
            assert Path(made).stat().st_size < 2**20
            assert "unpacks to" in self.refused(made)
        self.refused(made, "group")

    def test_lists_of_many(self):
        assert "unpacks to" in self.refused(parquet("x.parquet", "long lists"))

    def test_damage_that_polars_panics_over(self):
        """Which it would write of by itself."""
        whole = Path(parquet("x.arrow", "nested")).read_bytes()
        said = []
        for place in range(len(whole) - 400, len(whole) - 10, 45):
            Path("x.arrow").write_bytes(whole[:place] + b"\xff\xff\xff\x7f" + whole[place + 4 :])
            status, told = status_of("tables", "group", "--data", "x.arrow", "--rows", 3,
                                     "--out", "o.csv")  # fmt: skip
            assert status == 2
            said.append(told)
        assert all(len(told.splitlines()) == 1 for told in said)

    def test_packed_text_by_another_name(self):
        self.refused(text("x.csv", gzip.compress(SHOPS.encode())))
        self.refused(text("x.csv", zlib.compress(b"a,b\n" * 10**6)))

    def test_numbers_of_thousands_of_digits_take_no_time(self):
        rows = "".join(f'"{n}{"1" * 1990}abcdefghijklmnop",x\n' for n in range(500))
        status, said = status_of("tables", "resolve", "--data", text("x.csv", f"n,s\n{rows}"),
                                 "--sets", "s", "--out", "o.csv")  # fmt: skip
        assert (status, said) == (0, "")

    def test_names_and_cells_that_a_terminal_or_a_spreadsheet_would_obey(self):
        lake = {
            f"=a{TERMINAL}": f"name,{TERMINAL}\n=cmd|'/C calc'!A0,x\ngolden dragon,<script>\n",
            "b": "name,city\n@sum(a1),y\nGolden Dragon,=1+1\nblue,x,y,z\n",
        }
        for name, content in lake.items():
            text(f"in/{name}.csv", content)
        status, said = status_of("tables", "integrate", "--data", "in", "--out", "run",
                                 "--set=epochs=0", "--processes", 1)  # fmt: skip
        assert status == 0, said
        assert "\x1b" not in said
        assert "<script>" not in Path("run/report.html").read_text()
        for file in Path("run").glob("*.csv"):
            for row in csv.reader(file.open(newline="")):
                assert not any(cell.startswith(("=", "@", "+")) for cell in row), file
        status, said = status_of("tables", "match-one", "--model", "run",
                                 "--row", '{"name": "golden dragon"}')  # fmt: skip
        assert (status, said) == (0, "")

    def test_rows_of_a_call(self, lake):
        for row in ("[" * 10**5, "9" * 9999, "5", '{"name": NaN, "x": {"a": [1, "b"]}}',
                    '{"name": 1' + "0" * 400 + "}", f'{{"{TERMINAL}": 1}}'):  # fmt: skip
            assert_refused("tables", "match-one", "--model", lake, "--row", row)


@pytest.fixture(scope="session")
def made_lake(tmp_path_factory):
    """What integrate leaves, with a matcher."""
    here = Path.cwd()
    folder = tmp_path_factory.mktemp("lake")
    os.chdir(folder)
    shops = [(f"maker{n % 7} thing{n} of{n // 2}", f"street{n} road") for n in range(40)]
    for name in "ab":
        rows = "".join(f"{a},{b}\n" for a, b in shops)
        text(f"in/{name}.csv", f"name,street\n{rows}")
    try:
        status, said = status_of("tables", "integrate", "--data", "in", "--out", "run",
                                 "--set=epochs=1", "--set=embedding=8", "--set=width=4",
                                 "--processes", 1, "--quiet")  # fmt: skip
    finally:
        os.chdir(here)
    assert status == 0, said
    return folder / "run"


@pytest.fixture
def lake(made_lake, tmp_path):
    import shutil

    shutil.copytree(made_lake / "checkpoint", tmp_path / "lake" / "checkpoint")
    return "lake"


KEPT = Path("lake/checkpoint/lake")


class TestLakes:
    def refused(self):
        text("more.csv", "name,street\nmaker1 thing1,street1 road\n")
        assert_refused("tables", "match-one", "--model", "lake", "--row", '{"name": "maker1"}')
        return assert_refused("tables", "update", "--model", "lake", "--data", "more.csv",
                              "--out", "run")  # fmt: skip

    def test_as_it_is_it_serves(self, lake):
        assert status_of("tables", "match-one", "--model", lake,
                         "--row", '{"name": "maker1 thing1 of0", "street": "street1 road"}'
                         ) == (0, "")  # fmt: skip

    def test_files(self, lake):
        for file, makes in (
            ("pairs.safetensors", (pickled, torch_pickled, huge_safetensors, deep)),
            ("rows.parquet", (pickled, deep)), ("lake.json", (pickled, deep)),
        ):  # fmt: skip
            kept = (KEPT / file).read_bytes()
            for make in makes:
                make(str(KEPT / file))
                self.refused()
            (KEPT / file).write_bytes(kept)
        for file in ("rows.parquet", "lake.json", "pairs.safetensors"):
            (KEPT / file).unlink()
            (KEPT / file).symlink_to(file)
            self.refused()

    @pytest.mark.parametrize(
        "changed",
        [{"settings": 5}, {"settings": {"evil": 1}}, {"settings": {"embedding": 2**40}},
         {"kind": TERMINAL}, {"kind": ["csv"]}, {"seed": "0"}, {"seed": -1}],
    )  # fmt: skip
    def test_what_is_said_of_it(self, lake, changed):
        about = json.loads((KEPT / "lake.json").read_text())
        text(str(KEPT / "lake.json"), json.dumps(about | changed))
        assert "\x1b" not in self.refused()
        text(str(KEPT / "lake.json"), "[]")
        self.refused()

    @pytest.mark.parametrize(
        ("column", "value"),
        [("__set", 2**60), ("__set", -1), ("__set", None), ("__set", "a"), ("__row", -5),
         ("__table", None), ("__row", "a"), ("name", "gone")],
    )  # fmt: skip
    def test_rows(self, lake, column, value):
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = pq.read_table(KEPT / "rows.parquet")
        place = rows.column_names.index(column)
        if value == "gone":
            rows = rows.remove_column(place)
        else:
            given = rows[column].to_pylist()
            given = [value] * len(given) if isinstance(value, str) else [value, *given[1:]]
            rows = rows.set_column(place, column, pa.array(given))
        pq.write_table(rows, KEPT / "rows.parquet")
        self.refused()

    @pytest.mark.parametrize(
        "changed",
        [{"format": 1}, {"settings": 5}, {"settings": {"width": 2**40}}, {"columns": 5},
         {"columns": [["name"], 5]}, {"columns": ["name"]}, {"columns": ["x", "y"]},
         {"matcher": 5}, {"matcher": {"a": 1}}, {"settings": {"width": 4096, "embedding": 4096}},
         {"similarity": {}}, {"similarity": 5}, {"design": {}}, {"design": None},
         {"weights": "x"}, {"plain_scale": ["x", 1]}, {"plain_scale": [1]}, {"mixture": 5},
         {"mixture": {"at": "x", "width": 1}}, {"mixture": {"evil": 1}}],
    )  # fmt: skip
    def test_models(self, lake, changed):
        from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint

        state = load_checkpoint(KEPT / "pairs.safetensors")
        save_checkpoint(KEPT / "pairs.safetensors", state | changed)
        assert_refused("tables", "match-one", "--model", "lake", "--row", '{"name": "maker1"}')

    def test_arrays_of_a_model(self, lake):
        import torch

        from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint

        file = KEPT / "pairs.safetensors"
        for part, name, value in (
            ("similarity", "row_word_weights", torch.zeros(3)), ("similarity", "word_weights", []),
            ("design", "kept", torch.tensor([10**9])), ("design", "flags", torch.tensor([-1])),
            ("design", "mean", torch.zeros(2)),
        ):  # fmt: skip
            kept = file.read_bytes()
            state = load_checkpoint(file)
            state[part][name] = value
            save_checkpoint(file, state)
            assert_refused("tables", "match-one", "--model", "lake", "--row", '{"name": "maker1"}')
            file.write_bytes(kept)
        state = load_checkpoint(file)
        state["weights"][0] = float("nan")
        save_checkpoint(file, state)
        assert_refused("tables", "match-one", "--model", "lake", "--row", '{"name": "maker1"}')


class TestAStoppedRun:
    """What integrate --resume goes on from."""

    def refused(self, file, content):
        text("in/a.csv", SHOPS)
        text("in/b.csv", SHOPS)
        from nearfar_kit.settings import load_settings
        from nearfar_tables.settings import TablesSettings

        settings = load_settings(TablesSettings, overrides=["epochs=0"])
        tables = [[name, 3, ["name", "city"]] for name in "ab"]
        begun = {"settings": settings.model_dump(mode="json"), "seed": 0, "columns": {},
                 "tables": tables}  # fmt: skip
        text(".run.work/begun.json", json.dumps(begun))
        text(f".run.work/{file}", content)
        return assert_refused("tables", "integrate", "--data", "in", "--out", "run", "--resume",
                              "--set=epochs=0", "--processes", 1)  # fmt: skip

    def test_files(self):
        evil = Path(pickled("evil")).read_bytes()
        self.refused("begun.json", "[" * 10**5)
        self.refused("begun.json", "[]")
        header = npy_header((2**40, 2), "<i8")
        for content in (evil, header, npy_header((2, 2), "<f8") + bytes(32), b"",
                        npy_header((1, 2), "<i8") + np.array([5, 2**40]).tobytes()):  # fmt: skip
            self.refused("candidates.npy", content)
            self.refused("matcher.safetensors", content)
            self.refused("evidence-000000000000.npy", content)


class Server:
    """Answers whatever is asked the same."""

    def __init__(self, answer: bytes, times: int = 1, status: int = 200) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.send_response(status)
                self.end_headers()
                try:
                    for _ in range(times):
                        self.wfile.write(answer)
                except OSError:
                    pass  # the other side has heard enough

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.url

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()


class TestJudges:
    def asked(self, judge, *more):
        rows = "".join(f"s{n},boston,MA\n" for n in range(9))
        data = text("rows.csv", f"set,city,state\n{rows}odd,boston,MA\nodd,boston,NV\n")
        return ("resolve", "--data", data, "--sets", "set", "--out", "o.csv", "--judge", judge,
                "--server-model", "m", *more)  # fmt: skip

    @pytest.mark.parametrize(
        "answer",
        [b"[" * 10**5, b"\xff\xfe", b"5", b'{"choices": [5]}',
         b'{"choices": [{"message": {"content": [1]}}]}'],
    )  # fmt: skip
    def test_answers_that_are_none(self, answer):
        with Server(answer) as url:
            assert status_of("tables", *self.asked(url)) == (0, "")

    def test_answers_without_end(self):
        for status in (200, 404):
            with Server(b" " * 2**20, times=10**6, status=status) as url:
                assert "answers more than" in assert_refused("tables", *self.asked(url))

    def test_what_a_server_says_against_it(self):
        with Server(TERMINAL.encode() * 99, status=404) as url:
            assert "\x1b" not in assert_refused("tables", *self.asked(url))

    @pytest.mark.parametrize(
        "schema",
        ["create view answers as with recursive n(i) as (select 1 union all select i + 1 from n) "
         "select i as key, i as text from n",
         "create table answers (key primary key, text as (hex(zeroblob(100000000))))",
         "create table answers (key primary key, text); create trigger t before insert on answers "
         "begin insert into answers select hex(zeroblob(100000000)), 1; end",
         "create table other (key)"],
    )  # fmt: skip
    def test_a_cache(self, schema):
        with sqlite3.connect("cache.db") as file:
            file.executescript(schema)
        file.close()
        with Server(b"") as url:
            assert_refused("tables", *self.asked(url, "--cache", "cache.db"))
            assert_refused("tables", *self.asked(url, "--cache", pickled("evil.db")))

    def test_a_damaged_cache(self):
        with sqlite3.connect("cache.db") as file:
            file.execute("create table answers (key primary key, text)")
            rows = [(n, "x" * 99) for n in range(99)]
            file.executemany("insert into answers values (?, ?)", rows)
        file.close()
        raw = Path("cache.db").read_bytes()
        Path("cache.db").write_bytes(raw[:4096] + b"\xff" * (len(raw) - 4096))
        with Server(b"") as url:
            assert_refused("tables", *self.asked(url, "--cache", "cache.db"))

    def test_a_local_model(self):
        pytest.importorskip("transformers")
        config = {"model_type": "gpt2", "vocab_size": 5, "n_embd": 2**20, "n_layer": 2, "n_head": 1,
                  "auto_map": {"AutoConfig": "evil.Config",
                               "AutoModelForCausalLM": "evil.Model"}}  # fmt: skip
        text("model/config.json", json.dumps(config))
        text("model/evil.py", "open('owned', 'w')")
        text("model/tokenizer.json", json.dumps({
            "version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
            "post_processor": None, "decoder": None, "truncation": None, "padding": None,
            "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
        }))  # fmt: skip
        text("model/tokenizer_config.json", '{"tokenizer_class": "PreTrainedTokenizerFast"}')
        import torch
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(2)}, "model/model.safetensors", metadata={"format": "pt"})
        assert "owned" not in os.listdir()
        for change in ({}, {"n_layer": 10**9}, {"n_embd": "x"}, {"model_type": "evil"}):
            text("model/config.json", json.dumps(config | change))
            assert_refused("tables", *self.asked("model"))
            assert "owned" not in os.listdir()
        text("model/config.json", json.dumps(config | {"n_embd": 4}))
        for make in (pickled, torch_pickled, huge_safetensors, deep):
            make("model/model.safetensors")
            assert_refused("tables", *self.asked("model"))
        for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            for make in (pickled, deep):
                kept = Path(f"model/{file}").read_bytes()
                make(f"model/{file}")
                assert_refused("tables", *self.asked("model"))
                Path(f"model/{file}").write_bytes(kept)
        assert_refused("tables", *self.asked(pickled("evil.gguf")))
        assert "owned" not in os.listdir()


SETS = "ditto/er_magellan/Structured/Beer"


class TestBenchmarks:
    def refused(self, *parts):
        return assert_refused("tables", "bench", "--data", "in", "--out", "run", "--profile",
                              "smoke", "--processes", 1, "--parts", *parts)  # fmt: skip

    def test_labelled_pairs(self):
        for name in ("valid.txt", "test.txt"):
            text(f"in/{SETS}/{name}", "COL a VAL x\tCOL a VAL y\t0\n")
        Path(f"in/{SETS}/train.txt.gz").symlink_to(os.path.abspath(bomb("b.gz", b"COL")))
        assert "unpacks to" in self.refused("matching", "--dataset", "beer")
        Path(f"in/{SETS}/train.txt").symlink_to("/dev/zero")
        assert "unpacks to" in self.refused("matching", "--dataset", "beer")
        Path(f"in/{SETS}/train.txt").unlink()
        for content in (Path(pickled("evil")).read_bytes(), b"[" * 10**5, b"COL a VAL " * 10**5):
            text(f"in/{SETS}/train.txt", content)
            self.refused("matching", "--dataset", "beer")

    def test_claims(self):
        for content in (b"", b"a,b\n1,2\n", Path(pickled("evil")).read_bytes()):
            text("in/raha/flights/dirty.csv", content)
            text("in/raha/flights/clean.csv", content)
            self.refused("conflicts")
        times = "sched_dep_time,act_dep_time,sched_arr_time,act_arr_time"
        text("in/raha/flights/dirty.csv", f"src,{times}\na,1,2,3,4\nb,1,2,3,4\n")
        text("in/raha/flights/clean.csv", f"flight,{times}\na,1,2,3,4\n")
        self.refused("conflicts")
        Path("in/raha").rename("old")
        for file in ("book_input_holo", "flaten_input_record"):
            text(f"in/recordfusion/book/{file}.csv", "isbn,src,title,author_list\n,a,b,c\n")
        self.refused("conflicts")

    def test_febrl_and_stadiums(self):
        text("in/febrl/dataset4a.csv.gz", gzip.compress(b"rec_id,suburb,postcode,state\nx,1,2,3\n"))
        self.refused("noise")
        Path("in/febrl").rename("old")
        text("in/dialite/em_gold/em_stadium_gold_complete.csv", "a\n1\n")
        self.refused("noise")

    def test_published_sets(self):
        question = {"known": {"a": "x"}, "attribute": "a", "candidates": ["x", "y"], "truth": "x"}
        text("in/Real/R1/table.csv", "a,b\nx y,1\nx z,2\n")
        text("in/Real/R1/sets.txt", "0 1\n")
        text("in/Real/R1/pairs.txt", "0 1\n")
        for file, content in (
            ("questions.json", "[" * 10**5), ("questions.json", "9" * 9999),
            ("questions.json", json.dumps([question | {"attribute": TERMINAL}])),
            ("questions.json", json.dumps([question | {"candidates": []}])),
            ("sets.txt", "0 " + "9" * 10**5), ("pairs.txt", b"\x80\x04"),
        ):  # fmt: skip
            kept = Path(f"in/Real/R1/{file}")
            before = kept.read_bytes() if kept.exists() else b"[]"
            text(str(kept), content)
            assert "\x1b" not in self.refused("published")
            kept.write_bytes(before)
