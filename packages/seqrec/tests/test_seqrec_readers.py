"""Readers: the same interactions from every layout, and one clear line for what is wrong."""

from __future__ import annotations

import polars as pl
import pytest

from nearfar_kit.errors import UserError
from nearfar_seqrec.readers import read

ROWS = [
    ("ann", "green tea", 3.0), ("bo", "Ω", 1.0), ("ann", "rice", 1.0), ("ann", "salt", 2.0),
    ("bo", "rice", 1.0),
]  # fmt: skip
SEQUENCES = {"ann": ["rice", "salt", "green tea"], "bo": ["Ω", "rice"]}


def named(sequences):
    return {
        str(user): sequences.names(sequences.of(number))
        for number, user in enumerate(sequences.users)
    }


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def inter(rows=ROWS, header="user_id:token\titem_id:token\trating:float\ttimestamp:float"):
    return header + "\n" + "".join(f"{u}\t{i}\t5\t{t}\n" for u, i, t in rows)


class TestLayouts:
    def test_atomic_file_and_folder(self, tmp_path):
        folder = tmp_path / "shop"
        folder.mkdir()
        file = write(folder / "shop.inter", inter())
        assert named(read(file)) == named(read(folder)) == SEQUENCES

    @pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
    def test_tables(self, tmp_path, kind):
        frame = pl.DataFrame(ROWS, schema=["user", "item", "time"], orient="row")
        path = tmp_path / f"shop.{kind}"
        if kind == "parquet":
            frame.write_parquet(path)
        else:
            frame.write_csv(path, separator="\t" if kind == "tsv" else ",")
        assert named(read(path)) == SEQUENCES
        assert read(path).time.tolist() == [1, 2, 3, 1, 1]

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("shop.CSV", "user,item,time\nbo,x,1\n"), ("shop.TSV", "user\titem\ttime\nbo\tx\t1\n"),
            ("shop.TXT", "bo x\n"), ("shop.INTER", inter([("bo", "x", 1)])),
        ],
    )  # fmt: skip
    def test_endings_in_capitals(self, tmp_path, name, text):
        assert named(read(write(tmp_path / name, text))) == {"bo": ["x"]}

    def test_a_parquet_and_a_folder_in_capitals(self, tmp_path, monkeypatch):
        frame = pl.DataFrame(ROWS, schema=["user", "item", "time"], orient="row")
        frame.write_parquet(tmp_path / "s.Parquet")
        assert named(read(tmp_path / "s.Parquet")) == SEQUENCES
        folder = tmp_path / "shop[1]"
        folder.mkdir()
        write(folder / "shop[1].INTER", inter())
        assert named(read(folder)) == SEQUENCES
        monkeypatch.chdir(folder)
        assert named(read(".")) == SEQUENCES

    def test_a_folder_of_files_is_told_with_one_of_them(self, tmp_path):
        write(tmp_path / "read.me", "")
        file = write(tmp_path / "b.CSV", "user,item,time\nbo,x,1\n")
        with pytest.raises(UserError, match="known layout; expected one file of what") as told:
            read(tmp_path)
        assert str(told.value).endswith(f"lies in it, as {file}")

    def test_other_names_and_dates(self, tmp_path):
        path = write(tmp_path / "s.csv", "who,what,when\na,x,2024-01-02 00:00:01\na,y,2024-01-01\n")
        assert named(read(path, user="who", item="what", time="when")) == {"a": ["y", "x"]}

    def test_lines_by_spaces_or_tabs(self, tmp_path):
        path = write(tmp_path / "s.txt", "ann 1 2  1\n\nbo\tgreen tea\t2\r\n")
        assert named(read(path)) == {"ann": ["1", "2", "1"], "bo": ["green tea", "2"]}

    def test_items_are_numbered_from_one_and_padding_is_none(self, tmp_path):
        sequences = read(write(tmp_path / "s.txt", "a x y x\n"))
        assert sequences.flat.tolist() == [1, 2, 1]
        assert sequences.names([0, 1, 0]) == ["x"]


class TestUnsortedTimes:
    def test_are_sorted_and_told_in_one_line(self, tmp_path):
        (note,) = read(write(tmp_path / "s.inter", inter())).notes
        assert "s.inter: 1 rows are older than the same user's row before" in note

    def test_rows_of_one_moment_keep_their_order(self, tmp_path):
        rows = [("a", name, 1.0) for name in "dbca"]
        sequences = read(write(tmp_path / "s.inter", inter(rows)))
        assert named(sequences) == {"a": list("dbca")}
        assert sequences.notes == ()


def dated(tmp_path, *times):
    rows = "".join(f"a,x{n},{time}\n" for n, time in enumerate(times))
    return write(tmp_path / "s.csv", "user,item,time\n" + rows)


class TestDaysAndMonths:
    """07/08/2024 may be in July or in August: the whole column tells, or a note."""

    @pytest.mark.parametrize("mark", ["/", ".", "-"])
    def test_the_order_that_reads_every_row_is_taken(self, tmp_path, mark):
        us = [day.replace("/", mark) for day in ("07/08/2024", "07/24/2024", "7/9/2024")]
        found = read(dated(tmp_path, *us))
        (note,) = found.notes  # none on the order
        assert "1 rows are older than the same user's row before" in note
        assert named(found) == {"a": ["x0", "x2", "x1"]}
        rest = [day.replace("/", mark) for day in ("07/08/2024", "24/07/2024")]
        assert named(read(dated(tmp_path, *rest))) == {"a": ["x1", "x0"]}
        assert len(read(dated(tmp_path, *rest)).notes) == 1

    def test_where_both_do_a_note_tells_which(self, tmp_path):
        file = dated(tmp_path, "07/07/2024", "07/08/2024", "08/07/2024")
        found = read(file)
        assert named(found) == {"a": ["x0", "x2", "x1"]}
        assert found.notes[0] == (
            f"{file}: time such as 07/08/2024 may begin with the day or the month in every row; "
            "read as the day first (--read first=month, or first=day, says which)"
        )
        assert named(read(file, first="month")) == {"a": ["x0", "x1", "x2"]}
        assert read(file, first="month").notes == ()
        assert named(read(file, first="day")) == named(found)
        assert read(dated(tmp_path, "07/07/2024", "08/08/2024")).notes == ()  # the same either way

    def test_times_of_the_day(self, tmp_path):
        times = ("12/31/2024", "12/31/2024 1:05", "12/31/2024 01:05:30.5", "12/31/2024 12:07 am",
                 "12/31/2024 12:00:00 PM", "12/31/2024T23:59:59", "12/31/2024 1:05pm")  # fmt: skip
        found = read(dated(tmp_path, *times))
        midnight = 1735603200.0
        want = [0, 420, 3900, 3930.5, 43200, 47100, 86399]
        assert (found.time - midnight).tolist() == want

    @pytest.mark.parametrize(
        ("times", "row"),
        [
            (("24/07/2024", "07/24/2024", "25/07/2024"), 2),
            (("07/08/2024", "07/08/24"), 2),
            (("07/24/2024", "noon"), 2),
            (("30/02/2024",), 1),
            (("07/24/2024 13:00 PM",), 1),
            (("07/24/2024 25:00",), 1),
            (("07/24/2024", "2024-07-24"), 2),
        ],
    )
    def test_what_neither_reads_is_told_with_the_ways_of_writing(self, tmp_path, times, row):
        with pytest.raises(UserError, match=rf"row {row}: time is .*24/07/2024 18:05 or 07/24/20"):
            read(dated(tmp_path, *times))

    def test_an_order_that_does_not_read_the_rows(self, tmp_path):
        with pytest.raises(UserError, match="row 2: time is '07/24/2024'"):
            read(dated(tmp_path, "07/08/2024", "07/24/2024"), first="day")
        with pytest.raises(UserError, match="first is 'year'; expected one of day, month"):
            read(dated(tmp_path, "07/08/2024"), first="year")


WRONG = {
    "no time field": (
        "s.inter", "user_id:token\titem_id:token\na\tx\n",
        r"s\.inter: its header has no field timestamp:float; found user_id:token, item_id:token",
    ),
    "type of a field": (
        "s.inter", inter(header="user_id:float\titem_id:token\trating:float\ttimestamp:float"),
        r"s\.inter: user_id is of type 'float'; expected user_id:token",
    ),
    "too many fields": (
        "s.inter", inter() + "a\tb\t1\t2\t3\n", r"s\.inter: cannot be read as inter \(",
    ),
    "time is a word": (
        "s.inter", inter([("a", "x", 1), ("a", "y", "noon")]),
        r"s\.inter, row 2: timestamp is 'noon'; expected a number, or a date and perhaps a time",
    ),
    "time is nan": ("s.csv", "user,item,time\na,x,nan\n", r"s\.csv, row 1: time is 'nan'"),
    "no time": ("s.csv", "user,item,time\na,x,1\na,y,\n", r"s\.csv, row 2: time is None"),
    "empty id": ("s.csv", "user,item,time\na, ,1\n", r"s\.csv, row 1: item is empty"),
    "no column": (
        "s.csv", "user,thing,time\na,x,1\n", r"has no column item; .* found user, thing, time",
    ),
    "no rows": ("s.csv", "user,item,time\n", r"s\.csv: has no rows"),
    "user alone": ("s.txt", "a x\nb\n", r"s\.txt, line 2: user 'b' has no item"),
    "user twice": ("s.txt", "a x\nb y\na z\n", r"line 3: user 'a' was on line 1"),
    "empty between tabs": ("s.txt", "a\tx\t\ty\n", r"line 1: an id is empty"),
    "empty file": ("s.txt", "\n", r"s\.txt: is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_data_is_one_clear_line(tmp_path, name):
    file, text, message = WRONG[name]
    with pytest.raises(UserError, match=message) as caught:
        read(write(tmp_path / file, text))
    assert "\n" not in str(caught.value)


def test_what_is_no_text_or_no_parquet(tmp_path):
    for name, message in (("s.txt", "is not UTF-8 at byte 2"), ("s.parquet", "cannot be read as")):
        path = tmp_path / name
        path.write_bytes(b"a \xff\xfe\n")
        with pytest.raises(UserError, match=message):
            read(path)


def test_nothing_there_unknown_look_and_option(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        read(tmp_path / "none.txt")
    with pytest.raises(UserError, match="no known layout"):
        read(write(tmp_path / "s.json", "{}"))
    with pytest.raises(UserError, match="layout lines has no option 'user'"):
        read(write(tmp_path / "s.txt", "a x\n"), user="who")
