"""Readers: each layout in its true shape, made small; faults in the data, one line each."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nearfar_har.clock import GRAVITY
from nearfar_har.readers import LAYOUTS, read, read_windows
from nearfar_har.readers.realworld import read_realworld
from nearfar_har.recording import CHANNELS
from nearfar_har.windows import cut_windows, save_npz
from nearfar_kit.errors import UserError

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "har"


def real(name: str) -> Path:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not in ../shared/data/har beside the repository")
    return path


# DSADS


@pytest.fixture
def dsads(tmp_path):
    """Two subjects, two activities, three segments; each number tells column and row."""
    for activity in ("a01", "a19"):
        for subject in ("p1", "p8"):
            folder = tmp_path / "data" / activity / subject
            folder.mkdir(parents=True)
            for segment in (1, 2, 10):
                rows = np.arange(125)[:, None] / 1000 + np.arange(45) + segment * 100
                np.savetxt(folder / f"s{segment:02d}.txt", rows, "%.4f", delimiter=",")
    return tmp_path / "data"


def test_dsads_raw(dsads):
    found = read(dsads)
    assert found.name == "dsads"
    assert found.subjects == ("p1", "p8")
    assert found.devices == ("torso", "right_arm", "left_arm", "right_leg", "left_leg")
    assert len(found.recordings) == 4
    last = next(r for r in found.recordings if r.subject == "p8" and r.session == "a19")
    assert (last.activity == 18).all()
    assert found.activities[18] == "basketball"
    assert last.segment.tolist() == [0] * 125 + [1] * 125 + [2] * 125
    # Unit u starts at column 9 u; its magnetometer is left out; segments are in order.
    np.testing.assert_allclose(last.signals[130, 2], 200 + 18 + np.arange(6) + 0.005, rtol=1e-6)
    assert last.signals[374, 4, 5] == pytest.approx(1000 + 36 + 5 + 0.124)
    assert read(dsads, subjects=["p8"]).subjects == ("p8",)
    assert len(cut_windows(found, 2.0)) == 4 * 3 * 2
    assert len(read(dsads.parent).recordings) == 4  # from the folder above, too


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda rows: rows[:-1], r"s02\.txt: 124 rows; expected 125"),
        (lambda rows: ["1,2,x", *rows[1:]], r"s02\.txt: row 1 is not 45 comma-separated numbers"),
        (lambda rows: [*rows[:4], "1,2", *rows[5:]], r"s02\.txt: row 5 is not 45 .* \(2 fields\)"),
    ],
)
def test_dsads_faults(dsads, broken, message):
    file = dsads / "a01" / "p8" / "s02.txt"
    file.write_text("\n".join(broken(file.read_text().splitlines())))
    with pytest.raises(UserError, match=message):
        read(dsads)


def test_dsads_compact(tmp_path):
    imu = np.zeros((2, 19, 250, 5, 6), dtype=np.int16)
    imu[1, 3, 200, 4] = [2500, 0, -250, 1000, 0, -500]
    path = tmp_path / "some.npz"
    np.savez(path, imu=imu)
    found = read(path)
    assert found.subjects == ("p1", "p2")
    recording = next(r for r in found.recordings if r.subject == "p2" and r.session == "a04")
    np.testing.assert_allclose(recording.signals[200, 4], [10, 0, -1, 1, 0, -0.5], rtol=1e-6)
    assert recording.segment[[124, 125]].tolist() == [0, 1]
    np.savez(path, imu=imu[:, :18])
    with pytest.raises(UserError, match=r"'imu' is int16 \[2, 18, 250, 5, 6\]; expected int16"):
        read(path)


@pytest.mark.data
def test_dsads_real():
    found = read(real("dsads_int16.npz"))
    assert found.subjects == ("p1", "p2", "p3", "p4", "p5", "p6")
    windows = cut_windows(found)
    assert windows.signals.shape == (6 * 19 * 60 * 2, 5, 6, 50)
    assert windows.present.all()
    standing = windows.activity == found.activities.index("standing")
    weight = np.linalg.norm(windows.signals[standing][:, :, :3].mean(3), axis=2)
    assert np.median(weight) == pytest.approx(9.8, abs=0.3)


# GeoTec


def geotec_file(path: Path, **changes: np.ndarray) -> Path:
    """Subjects s01 (phone and watch) and s02 (watch alone), 4 s at about 100 Hz."""
    arrays = {"label_names": np.array(["SEATED", "SITTING_DOWN"])}
    for key, begin in (("s01_01_sp", 1000), ("s01_01_sw", 1507), ("s02_03_sw", 9000)):
        time = begin + np.arange(400) * 10
        arrays[f"{key}_t"] = time
        arrays[f"{key}_x"] = np.repeat(time[:, None] / 1000, 6, axis=1).astype(np.float32)
        arrays[f"{key}_y"] = (np.arange(400) >= 200).astype(np.int8)
    np.savez(path, **(arrays | changes))
    return path


def test_geotec(tmp_path):
    found = read(geotec_file(tmp_path / "geotec.npz"), rate=50.0)
    assert found.activities == ("seated", "sitting down")
    assert found.devices == ("phone", "watch")
    assert found.subjects == ("s01", "s02")
    both, alone = found.recordings
    clock = both.start + np.arange(len(both)) / 50
    for device in (0, 1):
        own = both.signals[:, device, 0]
        there = np.isfinite(own)
        np.testing.assert_allclose(own[there], clock[there], atol=1e-3)
        assert np.isfinite(own).mean() > 0.85
    assert np.isnan(both.signals[:25, 1]).all()
    assert both.activity[[0, 99, 101, -1]].tolist() == [0, 0, 1, 1]
    assert np.isnan(alone.signals[:, 0]).all()
    assert np.isfinite(alone.signals[:, 1]).all()


def test_geotec_faults(tmp_path):
    time = 1000 + np.arange(400) * 10
    time[7] = 0
    path = geotec_file(tmp_path / "g.npz", s01_01_sp_t=time)
    with pytest.raises(UserError, match=r"g\.npz: s01_01_sp: row 8: time 0\.0 is before 1\.06"):
        read(path)
    np.savez(path, label_names=np.array(["a"]), s01_01_sp_t=time)
    with pytest.raises(UserError, match=r"g\.npz: not the GeoTec arrays"):
        read(path)


@pytest.mark.data
def test_geotec_real_clocks_agree():
    found = read(real("geotec_sp_sw.npz"), rate=50.0)
    assert len(found.subjects) == 18
    lags = []
    for recording in found.recordings[::7]:
        turn = np.linalg.norm(recording.signals[..., 3:], axis=2)
        turn = turn[np.isfinite(turn).all(1)]
        turn = (turn - turn.mean(0)) / turn.std(0)
        fit = [(np.roll(turn[:, 1], k) * turn[:, 0]).mean() for k in range(-50, 51)]
        lags.append(int(np.argmax(fit)) - 50)
    # Both turn with the body: they agree best within a tenth of a second of our clock.
    assert abs(np.median(lags)) <= 5


# PAMAP2, MHEALTH, OPPORTUNITY: rows of all devices


def pamap2_rows(samples=400):
    rows = np.full((samples, 54), np.nan)
    rows[:, 0] = 8.38 + np.arange(samples) / 100
    rows[:, 1] = np.repeat([0, 1, 24, 0], samples // 4)
    for device in range(3):
        rows[:, 3 + 17 * device : 20 + 17 * device] = 100 * device + np.arange(17)
    return rows


def save_rows(path: Path, rows, separator=" ") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, rows, "%.7g", delimiter=separator)
    return path


def test_pamap2(tmp_path):
    rows = pamap2_rows()
    rows[110:120, 20:37] = np.nan  # 0.11 s of the chest
    rows[150:190, 37:54] = np.nan  # 0.41 s of the ankle
    save_rows(tmp_path / "PAMAP2_Dataset" / "Protocol" / "subject101.dat", rows)
    save_rows(tmp_path / "PAMAP2_Dataset" / "Protocol" / "subject109.dat", pamap2_rows())
    save_rows(tmp_path / "PAMAP2_Dataset" / "Optional" / "subject101.dat", pamap2_rows())
    found = read(tmp_path)
    assert (found.name, found.devices) == ("pamap2", ("hand", "chest", "ankle"))
    assert found.subjects == ("subject101", "subject109")
    assert len(found.recordings) == 3
    first = next(r for r in found.recordings if r.session == "Protocol")
    assert first.start == pytest.approx(8.38)
    assert first.signals.shape == (400, 3, 6)
    # The +-16 g accelerometer and the gyroscope of the block.
    np.testing.assert_allclose(first.signals[115, 1], 100 + np.array([1, 2, 3, 7, 8, 9]))
    assert np.flatnonzero(np.isnan(first.signals[:, 2, 0])).tolist() == list(range(150, 190))
    assert [found.activities[a] if a >= 0 else None for a in first.activity[::100]] == [
        None,
        "lying",
        "rope jumping",
        None,
    ]
    assert first.segment[::100].tolist() == [0, 1, 2, 3]
    one = read(tmp_path / "PAMAP2_Dataset" / "Protocol" / "subject109.dat", rate=50.0)
    assert one.subjects == ("subject109",)
    assert one.recordings[0].signals.shape == (200, 3, 6)
    assert len(read(tmp_path, subjects=["subject101"]).recordings) == 2
    with pytest.raises(UserError, match=r"the subjects \['x'\]; expected some of \['subject101'"):
        read(tmp_path, subjects=["x"])


def test_pamap2_faults(tmp_path):
    path = save_rows(tmp_path / "subject101.dat", pamap2_rows())
    good = path.read_text().splitlines()
    for lines, message in [
        ([*good[:9], "1 2 3", *good[10:]], r"subject101\.dat: row 10 has 3 fields; expected 54"),
        ([*good[:2], good[2].replace(" 1 2 3 ", " 1 oops 3 ", 1)], "row 3, column 6 is 'oops'"),
        ([], r"subject101\.dat: is empty"),
        (["1 2 3"], "row 1 has 3 fields; expected 54"),
        ([good[0], "0.5" + good[1][4:]], r"row 2: time 0\.5 is before 8\.38 of row 1"),
        ([good[0].replace(" 0 ", " 8 ", 1)], r"row 1: activity 8; expected 0 or one of 1, 2"),
    ]:
        path.write_text("\n".join(lines))
        with pytest.raises(UserError, match=message):
            read(path)


def mhealth_rows(samples=200):
    rows = np.tile(np.arange(24.0), (samples, 1))
    rows[:, 23] = np.repeat([0, 12], samples // 2)
    return rows


def test_mhealth(tmp_path):
    for subject in (1, 10):
        save_rows(tmp_path / f"mHealth_subject{subject}.log", mhealth_rows(), "\t")
    found = read(tmp_path)
    assert (found.name, found.subjects) == ("mhealth", ("subject1", "subject10"))
    assert found.devices == ("chest", "left_ankle", "right_arm")
    recording = found.recordings[0]
    np.testing.assert_allclose(recording.signals[9, 0, :3], [0, 1, 2])
    assert np.isnan(recording.signals[:, 0, 3:]).all()
    turn = np.pi / 180
    np.testing.assert_allclose(recording.signals[9, 1], [5, 6, 7, 8 * turn, 9 * turn, 10 * turn])
    np.testing.assert_allclose(recording.signals[9, 2, :3], [14, 15, 16])
    assert recording.activity[[0, 99, 100, 199]].tolist() == [-1, -1, 11, 11]
    radians = read(tmp_path, gyro_unit="rad/s").recordings[0]
    np.testing.assert_allclose(radians.signals[9, 2, 3:], [17, 18, 19])
    assert cut_windows(found).present.all()
    rows = mhealth_rows()
    rows[4, 23] = 13
    path = save_rows(tmp_path / "mHealth_subject1.log", rows, "\t")
    with pytest.raises(UserError, match=r"subject1\.log: row 5: label 13; expected 0 to 12"):
        read(path)


def test_opportunity(tmp_path):
    rows = np.tile(np.arange(1.0, 251.0), (150, 1))  # a column holds its own number, from 1
    rows[:, 0] = np.round(np.arange(150) * 1000 / 30)
    rows[:, 243] = np.repeat([0, 1, 2, 4, 5], 30)
    rows[60:90, 37:50] = np.nan  # 1 s without the back
    folder = tmp_path / "OpportunityUCIDataset" / "dataset"
    for name in ("S1-ADL1", "S1-Drill", "S4-ADL5"):
        save_rows(folder / f"{name}.dat", rows)
    found = read(tmp_path)
    assert (found.name, found.subjects) == ("opportunity", ("S1", "S4"))
    assert [r.session for r in found.recordings] == ["ADL1", "Drill", "ADL5"]
    assert found.devices == ("rua", "lla", "lshoe", "rshoe", "back")
    recording = found.recordings[0]
    for device, (acc, gyro) in enumerate([(51, 54), (90, 93), (109, 112), (125, 128), (38, 41)]):
        expected = [(acc + i) * GRAVITY / 1000 for i in range(3)] + [
            (gyro + i) / 1000 for i in range(3)
        ]
        np.testing.assert_allclose(recording.signals[20, device], expected, rtol=1e-5)
    assert np.isnan(recording.signals[62:88, 4]).all()
    assert np.isfinite(recording.signals[:, :4]).all()
    assert recording.activity[[5, 45, 75, 105, 135]].tolist() == [-1, 0, 1, 2, 3]
    assert found.activities == ("standing", "walking", "sitting", "lying")
    assert (recording.segment == 0).all()
    rows[7, 243] = 3
    path = save_rows(folder / "S1-ADL1.dat", rows)
    with pytest.raises(UserError, match=r"S1-ADL1\.dat: row 8, column 244: locomotion 3; expected"):
        read(path)


# RealWorld


def realworld_csv(begin: int, value: float) -> str:
    axes = f"{value},{value + 1},{value + 2}"
    rows = [f"{i + 1},{begin + 20 * i},{axes}" for i in range(200)]
    return "\n".join(["id,attr_time,attr_x,attr_y,attr_z", *rows, ""])


def zipped(members: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


START = 1_435_990_000_000  # UNIX ms


@pytest.fixture
def realworld(tmp_path):
    """proband1 walks with two devices; proband10 climbs in two parts, in zips within a zip."""
    one = tmp_path / "proband1" / "data"
    one.mkdir(parents=True)
    (one / "acc_walking_csv.zip").write_bytes(
        zipped(
            {
                "acc_walking_chest.csv": realworld_csv(START, 1),
                "acc_walking_waist.csv": realworld_csv(START + 1000, 2),
                "readMe": "notes",
            }
        )
    )
    (one / "gyr_walking_csv.zip").write_bytes(
        zipped({"Gyroscope_walking_chest.csv": realworld_csv(START + 40, 5)})
    )
    (one / "mag_walking_csv.zip").write_bytes(b"not read")
    ten = tmp_path / "proband10" / "data"
    ten.mkdir(parents=True)
    parts = {
        f"acc_climbingup_{n}_csv.zip": zipped(
            {f"acc_climbingup_{n}_shin.csv": realworld_csv(START + 200_000 * n, n)}
        )
        for n in (1, 2)
    }
    (ten / "acc_climbingup_csv.zip").write_bytes(zipped(parts))
    (ten / "gyr_climbingup_csv").mkdir()
    (ten / "gyr_climbingup_csv" / "Gyroscope_climbingup_2_shin.csv").write_text(
        realworld_csv(START + 400_000, 7)
    )
    return tmp_path


def test_realworld(realworld):
    before = sorted(p.name for p in realworld.rglob("*"))
    found = read(realworld)
    assert sorted(p.name for p in realworld.rglob("*")) == before  # nothing unpacked
    assert (found.name, found.subjects) == ("realworld", ("proband1", "proband10"))
    assert len(found.devices) == 7
    assert len(found.activities) == 8
    walk, first, second = found.recordings
    assert walk.start == START / 1000
    assert found.activities[walk.activity[0]] == "walking"
    chest, waist = found.devices.index("chest"), found.devices.index("waist")
    assert walk.signals.shape == (250, 7, 6)
    np.testing.assert_allclose(walk.signals[100, chest], [1, 2, 3, 5, 6, 7])
    assert np.isnan(walk.signals[:2, chest, 3:]).all()
    assert np.isnan(walk.signals[:50, waist, :3]).all()
    np.testing.assert_allclose(walk.signals[60, waist, :3], [2, 3, 4])
    # Parts minutes apart are recordings of their own, however they are packed.
    shin = found.devices.index("shin")
    assert (first.session, second.session) == ("climbingup-1", "climbingup-2")
    assert second.start - first.start == pytest.approx(200)
    assert np.isnan(first.signals[:, shin, 3:]).all()
    np.testing.assert_allclose(second.signals[9, shin], [2, 3, 4, 7, 8, 9])
    assert read(realworld, subjects=["proband10"]).subjects == ("proband10",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK no", r"acc_walking_csv\.zip: not a readable zip"),
        (
            zipped({"../acc_walking_chest.csv": "x"}),
            r"member '\.\./acc_walking_chest\.csv' leaves the archive; refused",
        ),
        (zipped({"/acc_walking_chest.csv": "x"}), "leaves the archive"),
        (zipped({"C:\\acc_walking_chest.csv": "x"}), "leaves the archive"),
        (
            zipped({"acc_walking_chest.csv": "0" * 10**6}),
            r"member 'acc_walking_chest\.csv' unpacks to more than 100000 bytes; refused",
        ),
        (
            zipped({"acc_walking_1_csv.zip": zipped({"acc_walking_chest.csv": "0" * 10**6})}),
            r"acc_walking_1_csv\.zip: member 'acc_walking_chest\.csv' unpacks to more",
        ),
        (
            zipped({"acc_walking_chest.csv": "id,time\n1,2\n"}),
            r"acc_walking_chest\.csv: not a table of attr_time, attr_x, attr_y, attr_z",
        ),
        (
            zipped({"acc_walking_chest.csv": realworld_csv(START, 1) + "201,x,1,2,3\n"}),
            r"acc_walking_chest\.csv: not a table of .* with numbers",
        ),
        (
            zipped({"acc_walking_chest.csv": realworld_csv(START, 1) + f"9,{START},1,2,3\n"}),
            r"acc_walking_chest\.csv: row 202: time 1435990000\.0 is before 1435990003\.98",
        ),
    ],
)
def test_realworld_faults(realworld, content, message):
    (realworld / "proband1" / "data" / "acc_walking_csv.zip").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_realworld(realworld, max_bytes=100_000)
    assert "\n" not in str(caught.value)


def test_realworld_parts_may_not_overlap(realworld):
    member = zipped(
        {
            "acc_walking_1_chest.csv": realworld_csv(START, 1),
            "acc_walking_2_chest.csv": realworld_csv(START + 2000, 1),
        }
    )
    (realworld / "proband1" / "data" / "acc_walking_csv.zip").write_bytes(member)
    with pytest.raises(UserError, match=r"_2_chest\.csv: starts before .*_1_chest\.csv ends"):
        read(realworld)


# A user's own table


def long_table(**changes) -> pl.DataFrame:
    """Two subjects, two devices at 50 and 25 Hz, 4 s, at rest; one after the other."""
    parts = []
    for subject in ("Zoë", "李"):
        for device, rate in (("wrist", 50), ("hüfte", 25)):
            n = 4 * rate
            columns = {
                "time": 1000 + np.arange(n) / rate,
                "device": [device] * n,
                **{c: np.full(n, 0.0) for c in CHANNELS},
                "subject": [subject] * n,
                "activity": ["sit"] * (n // 2) + ["walk"] * (n - n // 2),
            }
            columns["acc_z"] = np.full(n, 1.0)  # in g
            columns["gyro_x"] = np.full(n, 0.5 if device == "wrist" else 0.25)
            parts.append(pl.DataFrame(columns))
    return pl.concat(parts).with_columns(**changes)


def csv(tmp_path, table: pl.DataFrame, name="own.csv") -> Path:
    path = tmp_path / name
    table.write_csv(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_table(tmp_path, kind):
    path = tmp_path / f"Übung.{kind}"
    getattr(long_table(), f"write_{kind}")(path)
    found = read(path)
    assert found.subjects == ("Zoë", "李")
    assert found.devices == ("hüfte", "wrist")
    assert found.activities == ("sit", "walk")
    for recording in found.recordings:
        assert recording.rate == 25
        assert recording.start == 1000
        assert recording.signals.shape == (100, 2, 6)
        still = [0, 0, GRAVITY]
        np.testing.assert_allclose(recording.signals[50, 0], [*still, 0.25, 0, 0], atol=1e-5)
        np.testing.assert_allclose(recording.signals[50, 1], [*still, 0.5, 0, 0], atol=1e-5)
        assert recording.activity[[0, 49, 51, 99]].tolist() == [0, 0, 1, 1]
    assert read(path, rate=50.0).recordings[0].signals.shape == (200, 2, 6)
    assert read(path, subjects=["李"]).subjects == ("李",)


def test_table_with_other_names_units_and_no_labels(tmp_path):
    table = long_table().drop("subject", "activity", "gyro_x", "gyro_y", "gyro_z")
    table = table.head(200).rename({"time": "Zeitstempel", "acc_x": "x"})
    table = table.with_columns((pl.col("Zeitstempel") * 1e9).cast(pl.Int64))
    path = csv(tmp_path, table)
    found = read(path, columns={"time": "Zeitstempel", "acc_x": "x"}, acc_unit="m/s2")
    assert found.activities == ()
    recording = found.recordings[0]
    assert recording.start == pytest.approx(1000)
    assert (recording.activity == -1).all()
    assert recording.signals[10, 0, 2] == 1
    assert np.isnan(recording.signals[:, :, 3:]).all()
    assert cut_windows(found).present.all()


def test_table_without_subjects_says_so_and_names_the_column(tmp_path):
    table = long_table().head(200).rename({"subject": "person"})
    found = read(csv(tmp_path, table))
    assert found.subjects == ("unnamed",)
    with pytest.raises(UserError, match=r"before .*; columns not used: person; --read columns\.s"):
        read(csv(tmp_path, long_table().rename({"subject": "person"}), "two.csv"))
    (note,) = found.notes
    assert "own.csv: no column 'subject', all of it is taken as one, unnamed" in note
    assert "columns not used: person; --read columns.subject=person says" in note
    named = read(csv(tmp_path, table), columns={"subject": "person"})
    assert (named.subjects, named.notes) == (("Zoë",), ())


def test_what_could_name_subjects_or_activities_is_proposed_for_neither(tmp_path):
    table = long_table().head(300).drop("subject").rename({"activity": "Tätigkeit"})
    found = read(csv(tmp_path, table))
    (note,) = found.notes
    assert note.endswith(
        "columns not used: Tätigkeit; --read columns.subject=NAME says which column names the "
        "subjects, columns.activity=NAME the activities"
    )
    assert found.unlabelled.startswith("no column 'activity'; the file has time, device, acc_x, ")
    assert "Tätigkeit: --read columns.activity=NAME" in found.unlabelled
    assert not read(csv(tmp_path, table), columns={"activity": "Tätigkeit"}).unlabelled


def test_table_whose_turns_look_like_degrees_is_noted_once(tmp_path, recwarn):
    path = csv(tmp_path, long_table(gyro_x=pl.lit(90.0)))
    (note,) = read(path).notes
    assert (
        "own.csv: a twentieth of the angular velocities of hüfte, wrist is above 35 rad/s" in note
    )
    assert read(path, gyro_unit="deg/s").notes == ()
    assert not recwarn.list


@pytest.mark.parametrize("kind", ["text", "integers", "dates"])
def test_a_time_out_of_order_is_told_as_the_file_has_it(tmp_path, kind):
    table = long_table().head(200).with_columns((pl.col("time") * 1000).cast(pl.Int64))
    if kind == "text":
        table = table.with_columns((pl.col("time") / 1000).round(2).cast(pl.String) + "0")
    if kind == "dates":
        table = table.with_columns(
            pl.from_epoch("time", time_unit="ms").dt.to_string("%Y-%m-%d %H:%M:%S.%3f")
        )
    one, two = str(table["time"][5]), str(table["time"][6])
    order = [*range(5), 6, 5, *range(7, 200)]
    with pytest.raises(UserError, match=r"row 8") as caught:
        read(csv(tmp_path, table[order]))
    assert f"row 8: time {one} is before {two} of row 7; expected time in order" in str(
        caught.value
    )


def test_a_folder_of_tables_is_read_as_one(tmp_path):
    for name, part in long_table().partition_by("subject", as_dict=True).items():
        part.write_parquet(tmp_path / f"{name[0]}.parquet")
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".hidden.csv").write_text("no table")
    own = csv(tmp_path.parent, long_table(), "whole.csv")
    whole, found = read(own), read(tmp_path)
    assert (found.subjects, found.activities, found.devices, found.notes) == (
        whole.subjects, whole.activities, whole.devices, (),
    )  # fmt: skip
    for one, same in zip(whole.recordings, found.recordings, strict=True):
        np.testing.assert_array_equal(one.signals, same.signals)
        np.testing.assert_array_equal(one.activity, same.activity)
    assert read(tmp_path, subjects=["李"]).subjects == ("李",)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "Z.CSV").write_text("time\n")
    (note,) = read(tmp_path).notes
    assert note.endswith("1 tables in folders below it are not read, such as deeper/Z.CSV")


def test_files_without_subjects_are_subjects_and_units_are_a_files_own(tmp_path):
    part = long_table().head(300).drop("subject")
    csv(tmp_path, part, "s01.csv")
    later = part.with_columns((pl.col("time") * 1000 + 5000).cast(pl.Int64))
    csv(tmp_path, later.filter(pl.col("device") == "wrist"), "s02.csv")
    found = read(tmp_path)
    assert found.subjects == ("s01", "s02")
    assert found.devices == ("hüfte", "wrist")
    one, two = found.recordings
    assert two.start - one.start == pytest.approx(5)
    assert np.isnan(two.signals[:, 0]).all()
    assert found.notes[0].endswith(
        "is taken as one subject by its name (s01, s02); where there are several, add a column "
        "'subject'"
    )
    (tmp_path / "s02.csv").write_text("time,acc_x\n")
    with pytest.raises(UserError, match=r"s02\.csv: no column 'device' for device"):
        read(tmp_path)
    np.savez(tmp_path / "other.npz", imu=np.zeros(1))
    with pytest.raises(UserError, match="no known layout"):  # several sets, not one
        read(tmp_path)


def test_table_with_dates(tmp_path):
    table = long_table().head(200)
    moments = pl.from_epoch((table["time"] * 1e6).cast(pl.Int64), time_unit="us")
    dated = table.with_columns(moments.alias("time"))
    dated.write_parquet(tmp_path / "dated.parquet")
    assert read(tmp_path / "dated.parquet").recordings[0].start == pytest.approx(1000)
    path = csv(tmp_path, table.with_columns(moments.dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ")))
    assert "1970-01-01T00:16:40" in path.read_text()
    assert read(path).recordings[0].start == pytest.approx(1000)


def test_table_parts_at_silences_and_keeps_gaps(tmp_path):
    table = long_table().filter(pl.col("subject") == "Zoë")
    later = table.with_columns(pl.col("time") + 3600)
    gap = (pl.col("time") > 1001) & (pl.col("time") < 1002) & (pl.col("device") == "wrist")
    hole = table.with_columns(pl.when(gap).then(None).otherwise(pl.col("acc_y")).alias("acc_y"))
    with pytest.raises(UserError, match=r"own\.csv: device hüfte: acc_x, acc_y, acc_z hold no"):
        read(csv(tmp_path, table.with_columns(acc_x=None, acc_y=None, acc_z=None)))
    path = csv(tmp_path, pl.concat([hole, later]))
    one, two = read(path).recordings
    assert two.start - one.start == 3600
    wrist = one.signals[:, 1]
    assert np.flatnonzero(np.isnan(wrist[:, 1])).tolist() == list(range(26, 50))
    assert np.isfinite(wrist[:, 0]).all()
    windows = cut_windows(read(path), 1.0)
    assert windows.present[:4, 1].tolist() == [True, False, True, True]


def test_table_may_interleave_devices_and_repeat_times(tmp_path):
    table = long_table().filter(pl.col("subject") == "Zoë").sort("time")
    found = read(csv(tmp_path, pl.concat([table, table]).sort("time")))
    plain = read(csv(tmp_path, table, "plain.csv"))
    np.testing.assert_allclose(found.recordings[0].signals, plain.recordings[0].signals)


def test_table_faults_give_one_line_each(tmp_path):
    good = csv(tmp_path, long_table()).read_text().splitlines()
    head, rows = good[0], good[1:]

    def cell(row: int, column: str, value: str) -> list[str]:
        cells = rows[row].split(",")
        cells[head.split(",").index(column)] = value
        return [*rows[:row], ",".join(cells), *rows[row + 1 :]]

    cases = [
        ([], "is empty; expected a header and rows"),
        ([head], "has a header and no rows"),
        ([head, rows[0]], "wrist: no two rows with rising time among 1"),
        ([head.replace("device", "sensor"), *rows], "no column 'device' for device; the file has"),
        ([head.replace("acc_y", "ay"), *rows], r"acc_y; .*: map it \(--read columns\.acc_y=NAME\)"),
        ([head.replace("gyro_y", "gy"), *rows], "no column 'gyro_y' for gyro_y"),
        ([head, *cell(4, "acc_y", "fast")], "row 6, column acc_y: 'fast'; expected a number"),
        ([head, *cell(4, "gyro_z", "inf")], "row 6, column gyro_z: 'inf'; expected a number"),
        ([head, *cell(9, "time", "")], "row 11, column time is empty; expected a number"),
        ([head, *cell(9, "time", "soon")], "row 11, column time: 'soon'; expected a number"),
        ([head, *cell(9, "device", "")], "row 11, column device is empty"),
        ([head, *cell(9, "time", "999.5")], r"row 11: time 999\.5 is before 1000\.16 of row 10"),
        ([head, *rows[:5], rows[5] + ",7,8"], "cannot be read as csv"),
    ]
    for lines, message in cases:
        path = tmp_path / "bad.csv"
        path.write_text("\n".join(lines), encoding="utf-8")
        with pytest.raises(UserError, match=message) as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert "bad.csv" in str(caught.value)


def test_table_options_are_checked(tmp_path):
    path = csv(tmp_path, long_table())
    for options, message in [
        ({"columns": {"when": "time"}}, "column mapping names 'when'; expected some of time, dev"),
        ({"columns": {"activity": "label"}}, "no column 'label' for activity"),
        ({"time": "h"}, "unit of time is 'h'; expected one of s, ms"),
        ({"gyro_unit": "rpm"}, "unit of angular velocity is 'rpm'"),
        (
            {"subjects": ["nobody"]},
            r"none of the subjects \['nobody'\]; expected of \['Zoë', '李'\]",
        ),
        ({"colour": 1}, "table has no option 'colour'; expected some of columns, subjects, rate"),
        ({"layout": "wisdm"}, "layout 'wisdm' is unknown; expected one of dsads, "),
    ]:
        with pytest.raises(UserError, match=message):
            read(path, **options)
    linear = csv(tmp_path, long_table(acc_z=pl.lit(0.05)), "linear.csv")
    with pytest.raises(UserError, match=r"device hüfte: the median size of acceleration is 0\.05"):
        read(linear)
    assert read(linear, acc_unit="g").recordings[0].signals[9, 0, 2] == pytest.approx(
        0.05 * GRAVITY
    )


# Finding the layout


def test_what_fits_no_layout_is_told_what_was_looked_for(tmp_path):
    with pytest.raises(UserError, match="no known layout; looked for dsads: a01") as caught:
        read(tmp_path)
    assert all(name in str(caught.value) for name in LAYOUTS)
    with pytest.raises(UserError, match="no such file or folder"):
        read(tmp_path / "nowhere")
    strange = tmp_path / "strange.npz"
    strange.write_bytes(b"")
    with pytest.raises(UserError, match=r"strange\.npz: no known layout"):
        read(strange)


def test_saved_windows_are_read_as_they_are(tmp_path, dsads):
    cut = read_windows(dsads, seconds=1.0, overlap=0.5)
    assert cut.signals.shape == (4 * 3 * 9, 5, 6, 25)
    save_npz(tmp_path / "windows.npz", cut)
    again = read_windows(tmp_path / "windows.npz")
    np.testing.assert_array_equal(again.signals, cut.signals)
    with pytest.raises(UserError, match=r"windows\.npz: holds windows, not recordings"):
        read(tmp_path / "windows.npz")
