"""Tables of strangers, read."""

from __future__ import annotations

import polars as pl
import pytest

from nearfar_kit.errors import UserError
from nearfar_kit.frames import check_name, read_frame, write_frame


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_columns_are_parted_by_what_the_header_has_most_of(tmp_path, mark):
    file = tmp_path / "a.csv"
    file.write_text(f"id{mark}Größe{mark}n\nü{mark}1.5{mark}7\n", encoding="utf-8")
    assert read_frame(file).rows(named=True) == [{"id": "ü", "Größe": "1.5", "n": "7"}]


def test_decimal_commas_become_points_and_text_stays(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("x;text;n\n1,5;1,5 kg;3\n-0,25e-3;a;4\n;;5\n", encoding="utf-8-sig")
    assert read_frame(file).to_dict(as_series=False) == {
        "x": ["1.5", "-0.25e-3", None], "text": ["1,5 kg", "a", None], "n": ["3", "4", "5"],
    }  # fmt: skip
    file.write_text('x,y\n"1,5",2\n')
    assert read_frame(file)["x"].to_list() == ["1,5"]


def test_a_tsv_has_tabs(tmp_path):
    file = tmp_path / "a.tsv"
    file.write_text("a,b,c\td\n1\t2\n")
    assert read_frame(file).columns == ["a,b,c", "d"]


@pytest.mark.parametrize("name", ["a.CSV", "a.Parquet", "a[1].csv", "a[1].parquet"])
def test_endings_in_any_case_are_written_and_read(tmp_path, name):
    frame = pl.DataFrame({"id": ["ü", "=1+x"]})
    check_name(tmp_path / name)
    write_frame(frame, tmp_path / name)
    want = ["ü", "'=1+x"] if name.lower().endswith(".csv") else ["ü", "=1+x"]
    assert read_frame(tmp_path / name)["id"].to_list() == want


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file; expected"),
        (b"", "is empty; expected a header"),
        ("Größe;b\n1;2\n".encode("latin-1"), "not UTF-8"),
        ("a;b\nü;2\n".encode("latin-1"), "not UTF-8"),
        (b"a,b\n1,2,3\n", "cannot be read as csv"),
    ],
)
def test_what_is_no_table(tmp_path, content, told):
    file = tmp_path / "a.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.csv: .*{told}") as error:
        read_frame(file)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"cannot be read as parquet|no such file"):
        read_frame(file.rename(tmp_path / "a.parquet") if content is not None else file)
