"""Tables in and out: dirty CSV, every kind, alignment, and the outer union."""

from __future__ import annotations

import gzip

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from nearfar_kit.errors import UserError
from nearfar_kit.spreadsheet import formula_safe
from nearfar_tables import align, as_kind, outer_union, read, read_all, suggest_alignment, write
from nearfar_tables.alignment import left_apart
from nearfar_tables.dirty_csv import distinct_names


def csv_file(folder, content, name="t.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestDirtyCsv:
    def test_cells_stay_as_written(self, tmp_path):
        table = read(csv_file(tmp_path, "zip,when\n007,1/2/03\n,x\n"))
        assert table.frame.rows() == [("007", "1/2/03"), (None, "x")]
        assert (table.name, table.kind, table.mended) == ("t", "csv", ())

    def test_ragged_rows_lose_nothing(self, tmp_path):
        table = read(csv_file(tmp_path, "a,b\n1\n2,3,4,5\n6,7\n"))
        assert table.frame.columns == ["a", "b", "extra", "extra_2"]
        assert table.frame.rows() == [("1", None, None, None), ("2", "3", "4", "5"),
                                      ("6", "7", None, None)]  # fmt: skip
        assert [line.split(":")[0].split(", ")[1] for line in table.mended] == ["line 2", "line 3"]

    def test_headers_repeated_and_absent(self, tmp_path):
        table = read(csv_file(tmp_path, "city, city,,city_2\n1,2,3,4\n"))
        assert table.frame.columns == ["city", "city_3", "column_3", "city_2"]
        assert len(table.mended) == 2

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    def test_encodings(self, tmp_path, encoding):
        table = read(csv_file(tmp_path, "name\nMünchen\n".encode(encoding)))
        assert table.frame.rows() == [("München",)]
        assert bool(table.mended) == (encoding == "cp1252")

    @pytest.mark.parametrize("delimiter", list(",;\t|"))
    def test_delimiters_quotes_and_line_breaks(self, tmp_path, delimiter):
        path = csv_file(tmp_path, f'a{delimiter}b\r\n"x{delimiter}""y""\nz"{delimiter}2\r\n')
        assert read(path).frame.rows() == [(f'x{delimiter}"y"\nz', "2")]

    def test_a_large_cell_and_gzip(self, tmp_path):
        cell = "x" * (1 << 20)
        path = csv_file(tmp_path, gzip.compress(f"a,b\n{cell},2\n".encode()), "t.csv.gz")
        assert read(path).frame.rows() == [(cell, "2")]

    @pytest.mark.parametrize(
        ("content", "told"),
        [(b"", "is empty; expected a header line"), (b"a\n\0\n", "byte 2: a zero byte")],
    )
    def test_what_is_no_table(self, tmp_path, content, told):
        with pytest.raises(UserError, match=told):
            read(csv_file(tmp_path, content))

    def test_half_a_gzip_file(self, tmp_path):
        path = csv_file(tmp_path, gzip.compress(b"a,b\n1,2\n" * 99)[:-9], "t.csv.gz")
        with pytest.raises(UserError, match="no whole gzip"):
            read(path)

    def test_a_header_alone_is_a_table_without_rows(self, tmp_path):
        assert read(csv_file(tmp_path, "a,b\n")).frame.shape == (0, 2)

    @given(st.lists(st.text("ab _2", max_size=4), max_size=6))
    def test_names_differ_and_stay_where_they_can(self, names):
        found = distinct_names(names, [], "")
        assert len(set(found)) == len(names)
        for place, (raw, name) in enumerate(zip(names, found, strict=True)):
            if raw.strip() and raw.strip() not in [n.strip() for n in names[:place]]:
                assert name == raw.strip() or name.startswith(f"{raw.strip()}_")


FRAME = pl.DataFrame(
    {
        "id": [7, 8, 9],
        "price": [1.5, None, 2.0],
        "on": ["2024-01-02", None, "2023-05-06"],
        "ok": [True, None, False],
    }
).with_columns(pl.col("on").str.to_date())


class TestKinds:
    @pytest.mark.parametrize(
        ("kind", "made"),
        [
            ("pandas", pl.DataFrame.to_pandas),
            ("polars", pl.DataFrame.clone),
            ("arrow", pl.DataFrame.to_arrow),
            ("duckdb", lambda f: duckdb.from_arrow(f.to_arrow())),
        ],
    )
    def test_in_and_out_again(self, kind, made):
        table = read(made(FRAME), "t")
        assert table.kind == kind
        back = as_kind(table.frame, table.kind)
        assert type(back) is type(made(FRAME))
        again = read(back).frame
        assert again["price"].to_list() == FRAME["price"].to_list()
        assert again["id"].dtype == pl.Int64
        if kind != "pandas":  # pandas has no date and no nullable bool of its own
            assert_frame_equal(again, FRAME)

    def test_pandas_of_mixed_cells(self):
        frame = pd.DataFrame({"a": [1, "one", None, 2.5]})
        assert read(frame).frame["a"].to_list() == ["1", "one", None, "2.5"]

    @pytest.mark.parametrize("ending", [".parquet", ".arrow", ".feather"])
    def test_files_keep_types(self, tmp_path, ending):
        write(FRAME, tmp_path / f"t{ending}")
        assert_frame_equal(read(tmp_path / f"t{ending}").frame, FRAME)

    def test_refusals(self, tmp_path):
        broken = tmp_path / "t.parquet"
        broken.write_bytes(b"PAR1 is not enough")
        for table, told in [
            (broken, "is no parquet file"),
            (tmp_path / "absent.csv", "no such file"),
            (tmp_path, "no such file"),
            (7, "is a int; expected a path"),
            (pa.table([[1], [2]], names=["a", "a"]), "two columns are named 'a'"),
            (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are named 'a'"),
        ]:
            with pytest.raises(UserError, match=told):
                read(table)
        with pytest.raises(UserError, match=r"expected \.csv"):
            write(FRAME, tmp_path / "t.xlsx")
        assert not list(tmp_path.glob("*.part"))

    def test_a_folder_and_names(self, tmp_path):
        csv_file(tmp_path, "a\n1\n", "b.csv")
        csv_file(tmp_path, "a\n1\n", "a.tsv")
        csv_file(tmp_path, "nothing", "notes.txt")
        assert [source.name for source in read_all(tmp_path)] == ["a", "b"]
        with pytest.raises(UserError, match="two tables are named 'a'"):
            read_all([tmp_path / "a.tsv", csv_file(tmp_path, "a\n", "a.csv")])
        with pytest.raises(UserError, match="no table"):
            read_all([])

    @pytest.mark.parametrize("name", ["B.CSV", "B.TSV", "B.Csv.GZ", "B.PARQUET", "B.Arrow"])
    def test_endings_whatever_their_case(self, tmp_path, name):
        if "gz" in name.lower():
            path = csv_file(tmp_path, gzip.compress(b"a\n1\n"), name)
        elif "sv" in name.lower():
            path = csv_file(tmp_path, "a\n1\n", name)
        else:
            write(pl.DataFrame({"a": ["1"]}), path := tmp_path / name)
        csv_file(tmp_path, "a\n2\n", "a.csv")
        assert read(path).frame.rows() == [("1",)]
        assert [source.name for source in read_all(tmp_path)] == ["B", "a"]

    def test_what_of_a_folder_is_passed_over_is_told(self, tmp_path):
        for name in ("more/deep", "empty", ".cache"):
            (tmp_path / name).mkdir(parents=True)
        csv_file(tmp_path, "a\n1\n", "more/deep/b.CSV")
        csv_file(tmp_path, "a\n1\n", ".cache/c.csv")
        csv_file(tmp_path, "a\n1\n", ".~a.csv")
        with pytest.raises(UserError, match=r"holds no table; .*not read: the tables in more"):
            read_all(tmp_path)
        csv_file(tmp_path, "a\n1\n", "a.csv")
        for number in range(7):
            csv_file(tmp_path, "", f"x{number}.xlsx")
        (only,) = read_all(tmp_path)
        others, folders = only.mended
        assert "not read: x0.xlsx, x1.xlsx, x2.xlsx, x3.xlsx, x4.xlsx and 2 more" in others
        assert "not read: the tables in more" in folders


class TestFormulas:
    def test_they_do_not_run_and_numbers_stay(self, tmp_path):
        cells = [
            "=1+1",
            "+cmd|' /C'!A0",
            "-5",
            "+1.2e3",
            "-x",
            "@SUM(A1)",
            "\t=1",
            "a=b",
            None,
        ]
        frame = pl.DataFrame({"=head": cells, "n": range(9)})
        safe = formula_safe(frame)
        assert safe.columns == ["'=head", "n"]
        assert safe["'=head"].to_list() == [
            "'=1+1", "'+cmd|' /C'!A0", "-5", "+1.2e3", "'-x", "'@SUM(A1)", "'\t=1", "a=b", None,
        ]  # fmt: skip
        write(frame, tmp_path / "t.csv")
        assert read(tmp_path / "t.csv").frame["'=head"].to_list() == safe["'=head"].to_list()


class TestAlign:
    A, B = pl.DataFrame({"City Name": ["Rome"]}), pl.DataFrame({"city_name": ["Oslo"], "n": [1]})

    def test_by_name(self):
        found = align(read_all({"a": self.A, "b": self.B}))
        assert found == {"a": {"City Name": "City Name"},
                         "b": {"city_name": "City Name", "n": "n"}}  # fmt: skip

    def test_by_map(self):
        sources = read_all({"a": self.A, "b": self.B})
        assert align(sources, {"b": {"city_name": "town"}})["b"]["city_name"] == "town"
        assert align(sources, {"b": {"city_name": "CITY NAME"}})["a"] == {"City Name": "CITY NAME"}

    @pytest.mark.parametrize(
        ("columns", "told"),
        [
            ({"c": {}}, "no table 'c'"),
            ({"b": {"x": "y"}}, "has no column 'x'"),
            ({"b": {"n": "City Name"}}, "columns city_name and n of table b both become"),
        ],
    )
    def test_wrong_maps(self, columns, told):
        with pytest.raises(UserError, match=told):
            align(read_all({"a": self.A, "b": self.B}), columns)

    def test_suggestions_find_columns_of_other_names(self):
        cities = ["Rome", "Oslo", "Paris", "Madrid"]
        a = pl.DataFrame({"town": cities, "x": ["q1", "w2", "e3", "r4"]})
        b = pl.DataFrame({"count": ["11", "22", "33", "44"], "city": cities[::-1]})
        (only,) = suggest_alignment(read_all({"a": a, "b": b}), least=0.4)
        assert (only.left, only.right) == (("a", "town"), ("b", "city"))

    def test_columns_that_stay_apart_though_they_look_alike_are_told(self):
        cities = ["Rome", "Oslo", "Paris", "Madrid"]
        tables = {
            "a": pl.DataFrame({"city": cities, "year": ["1990", "1991", "1992", "1993"]}),
            "b": pl.DataFrame({"City": cities[::-1], "zip": ["ab", "cd", "ef", "gh"]}),
            "c": pl.DataFrame({"where": cities, "zip": ["ab", "xy", "ef", "gh"]}),
        }
        sources = read_all(tables)
        assert [str(apart) for apart in left_apart(sources, align(sources))] == [
            "column where of c is in no other table and looks like city: "
            "--align c.where=city makes them one"
        ]
        assert left_apart(sources, align(sources, {"c": {"where": "city"}})) == []

    def test_of_two_names_that_stand_alone_the_later_is_told(self):
        cities = ["Rome", "Oslo", "Paris", "Madrid"]
        sources = read_all({"a": pl.DataFrame({"x": cities}), "b": pl.DataFrame({"y": cities})})
        (line,) = left_apart(sources, align(sources))
        assert line.option == "--align b.y=x"

    def test_what_a_table_has_itself_it_needs_from_no_other(self):
        """b has a city beside its birthplace."""
        cities = ["Rome", "Oslo", "Paris", "Madrid"]
        sources = read_all({
            "a": pl.DataFrame({"city": cities}),
            "b": pl.DataFrame({"city": [None] * 4, "birthplace": cities},
                              schema_overrides={"city": pl.String}),
        })  # fmt: skip
        assert left_apart(sources, align(sources)) == []


class TestUnion:
    def test_every_row_is_there_once_with_its_place(self):
        sources = read_all({"a": pl.DataFrame({"x": [1, 2]}), "b": pl.DataFrame({"y": ["z"]})})
        union = outer_union(sources, align(sources))
        assert union.frame.rows() == [(1, None), (2, None), (None, "z")]
        assert union.rows.rows() == [("a", 0), ("a", 1), ("b", 0)]

    @given(
        st.lists(
            st.sampled_from([[1, 2], [1.5], ["x", None], [True], [None], [[1, 2]], []]),
            min_size=1,
            max_size=4,
        )
    )
    def test_any_types_of_one_column(self, columns):
        sources = read_all({f"t{n}": pl.DataFrame({"x": c}) for n, c in enumerate(columns)})
        union = outer_union(sources, align(sources))
        assert union.frame.height == union.rows.height == sum(map(len, columns))
        nulls = [value is None for column in columns for value in column]
        assert [value is None for value in union.frame["x"].to_list()] == nulls
