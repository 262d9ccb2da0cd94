"""Every layout read, real ones and tiny ones; every fault named."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter

import pytest

from nearfar_kit.errors import UserError
from nearfar_kit.layouts import find_layout
from nearfar_kit.paths import inside
from nearfar_speech.readers import LAYOUTS, find_clips
from nearfar_speech.readers.rows import csv_rows
from nearfar_speech.readers.semantics import Meaning, parse_semantics, parse_slots
from nearfar_speech.simulate import simulate_clips, write_simulated


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def fails(path, **options):
    """The one line that reading ends with."""
    with pytest.raises(UserError) as caught:
        find_clips(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Fluent Speech Commands


FSC_ROWS = [
    {
        "": "0",
        "path": "wavs/speakers/2BqVo8kVB2Skwgyb/0a.wav",
        "speakerId": "2BqVo8kVB2Skwgyb",
        "transcription": "Change language, please",
        "action": "change language",
        "object": "none",
        "location": "none",
    },
    {
        "": "1",
        "path": "wavs/speakers/2BqVo8kVB2Skwgyb/0b.wav",
        "speakerId": "2BqVo8kVB2Skwgyb",
        "transcription": "Turn the heat up",
        "action": "increase",
        "object": "heat",
        "location": "living room",
    },
]


@pytest.fixture
def fsc(tmp_path, write_tone):
    for split in ("train", "valid", "test"):
        rows = [row | {"path": row["path"].replace("/0", f"/{split}")} for row in FSC_ROWS]
        write_csv(tmp_path / "data" / f"{split}_data.csv", rows)
        for row in rows:
            write_tone(tmp_path / row["path"])
    return tmp_path


def test_fsc(fsc):
    found = find_clips(fsc)
    assert (found.name, len(found), found.faults, found.missing) == ("fsc", 6, (), ())
    first, second = found.of("train")
    assert first.intent == "change_language_none_none"
    assert first.transcript == "Change language, please"  # commas within quotes
    assert (second.intent, second.scenario) == ("increase_heat_living_room", "increase")
    assert second.speaker == "2BqVo8kVB2Skwgyb"
    assert second.seconds == pytest.approx(0.1)


def test_what_a_folder_lacks_is_listed(fsc, tmp_path):
    (fsc / "data" / "valid_data.csv").unlink()
    (fsc / "wavs").rename(fsc / "sounds")
    message = fails(fsc)
    assert "the folder lacks data/valid_data.csv, wavs/; missing: 4 (the first is" in message
    (fsc / "sounds").rename(fsc / "wavs")
    found = find_clips(fsc)
    assert (len(found), found.missing) == (4, ("data/valid_data.csv",))
    assert "not there: data/valid_data.csv" in found.summary()


def test_fsc_columns_and_rows(fsc):
    labels = fsc / "data" / "train_data.csv"
    whole = labels.read_text()
    labels.write_text(whole.replace("speakerId", "speaker"))
    assert f"{labels}: no column 'speakerId'; the file has" in fails(fsc)
    labels.write_text(whole + "2,wavs/x.wav\n")
    assert f"{labels}, line 4: 2 fields; expected 7" in fails(fsc)
    labels.write_text(whole.replace("increase", ""))
    assert f"{labels}, line 3: action is absent or empty" in fails(fsc)
    labels.write_text(whole.replace("wavs/speakers/2BqVo8kVB2Skwgyb/train", "../../etc/"))
    assert "leads out of" in fails(fsc)


# SLURP


SENTENCE = "wake me at eight am on friday"
SLURP_ROW = {
    "slurp_id": 1,
    "sentence": SENTENCE,
    "intent": "alarm_set_odd",
    "scenario": "alarm",
    "action": "set",
    "tokens": [{"surface": w, "id": i} for i, w in enumerate(SENTENCE.split())],
    "recordings": [{"file": "audio-1-headset.flac"}, {"file": "audio-1.flac"}],
    "entities": [{"span": [3, 4], "type": "time"}, {"span": [6], "type": "date"}],
}  # fmt: skip


@pytest.fixture
def slurp(tmp_path, write_tone):
    folder = tmp_path / "dataset" / "slurp"
    folder.mkdir(parents=True)
    (folder / "devel.jsonl").write_text(json.dumps(SLURP_ROW) + "\n\n")
    for recording in SLURP_ROW["recordings"]:
        write_tone(tmp_path / "audio" / "slurp_real" / recording["file"])
    return tmp_path


def test_slurp(slurp):
    found = find_clips(slurp)
    assert found.name == "slurp"
    assert found.missing == ("train.jsonl", "test.jsonl")
    headset, far = found.of("valid")
    assert (headset.intent, headset.scenario) == ("alarm_set", "alarm")
    assert headset.slots == (("time", "eight am"), ("date", "friday"))
    assert headset.transcript == "wake me at eight am on friday"
    assert (headset.path.name, far.path.name) == ("audio-1-headset.flac", "audio-1.flac")


@pytest.mark.parametrize(
    ("recordings", "names"),
    [("headset", ["audio-1-headset.flac"]), ("far", ["audio-1.flac"]),
     ("first", ["audio-1-headset.flac"])],
)  # fmt: skip
def test_slurp_recordings(slurp, recordings, names):
    found = find_clips(slurp, recordings=recordings)
    assert [clip.path.name for clip in found.clips] == names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entities": [{"span": [7], "type": "time"}]}, "span is [7]; expected numbers below 7"),
        ({"entities": [{"span": [-1], "type": "time"}]}, "span is [-1]"),
        ({"entities": [{"span": [True], "type": "time"}]}, "span is [True]"),
        ({"entities": [{"span": 3, "type": "time"}]}, "span is 3; expected a list"),
        ({"entities": "none"}, "entities is no list of objects"),
        ({"scenario": ""}, "scenario is absent or empty"),
        ({"recordings": [{"file": "../../../secret.flac"}]}, "leads out of"),
        ({"recordings": [{"file": "/etc/passwd"}]}, "leads out of"),
    ],
)
def test_a_broken_slurp_line_is_named(slurp, change, message):
    file = slurp / "dataset" / "slurp" / "devel.jsonl"
    file.write_text(json.dumps(SLURP_ROW) + "\n" + json.dumps(SLURP_ROW | change) + "\n")
    told = fails(slurp)
    assert f"{file}, line 2: " in told
    assert message in told


def test_slurp_lines_are_json(slurp):
    file = slurp / "dataset" / "slurp" / "devel.jsonl"
    file.write_text(json.dumps(SLURP_ROW) + "\n{'a': 1}\n")
    assert f"{file}, line 2: is no valid JSON" in fails(slurp)
    file.write_text("[1]\n")
    assert "line 1: holds a list; expected an object" in fails(slurp)


# Barista and digits


@pytest.fixture
def barista(tmp_path, write_tone):
    labels = {
        "a": {"intent": "orderDrink", "slots": {"coffeeDrink": "iced coffee", "sugar": " sugar"}},
        "b": {"intent": "orderDrink", "slots": {"coffeeDrink": "latte"}},
    }
    (tmp_path / "label.json").write_text(json.dumps(labels))
    for name in "abc":
        write_tone(tmp_path / "clean" / f"{name}.flac")
    return tmp_path


def test_barista(barista):
    found = find_clips(barista)
    first, second = found.clips
    assert (first.intent, first.scenario) == ("orderDrink_iced_coffee", "orderDrink")
    assert first.slots == (("sugar", "sugar"),)  # the files hold leading blanks
    assert second.slots == ()
    assert found.fault_counts() == {"not in the labels": 1, "no transcript": 2}
    assert [clip.intent for clip in find_clips(barista, by="sugar").clips] == [
        "orderDrink_sugar", "orderDrink",
    ]  # fmt: skip
    assert "no order has a slot 'tea'; expected one of" in fails(barista, by="tea")


def test_fsdd(tmp_path, write_tone):
    for name in ("7_jackson_4.wav", "7_jackson_5.flac", "0_anna_32.wav"):
        write_tone(tmp_path / "recordings" / name, rate=8000)
    (tmp_path / "recordings" / "notes.txt").write_text("not audio")
    found = find_clips(tmp_path)
    assert [(c.intent, c.transcript, c.speaker, c.split) for c in found.clips] == [
        ("zero", "zero", "anna", "train"),
        ("seven", "seven", "jackson", "test"),
        ("seven", "seven", "jackson", "train"),
    ]
    for name in ("5", "32"), ("4",):
        folder = tmp_path / f"one_side_{len(name)}"
        for number in name:
            write_tone(folder / f"7_jackson_{number}.wav", rate=8000)
        assert {clip.split for clip in find_clips(folder).clips} == {""}


# Manifests


def test_a_csv_manifest(tmp_path, write_tone):
    write_tone(tmp_path / "sounds" / "a  b.wav")
    write_tone(tmp_path / "sounds" / "c.flac", rate=44_100, channels=2)
    rows = [
        {"path": "sounds/a  b.wav", "intent": "order drink", "slots": '{"size": "large"}',
         "transcript": "a large one", "speaker": "anna", "split": "train"},
        {"path": "sounds/c.flac", "intent": "stop", "slots": "how=at once|who=you",
         "transcript": "", "speaker": "", "split": "dev"},
    ]  # fmt: skip
    found = find_clips(write_csv(tmp_path / "mine.csv", rows))
    assert found.name == "mine"
    first, second = found.clips
    assert first.path == tmp_path / "sounds" / "a  b.wav"
    assert (first.intent, first.slots) == ("order_drink", (("size", "large"),))
    assert (first.transcript, first.speaker, first.split) == ("a large one", "anna", "train")
    assert second.slots == (("how", "at once"), ("who", "you"))
    assert second.split == "valid"
    assert found.fault_counts() == {"no transcript": 1}
    assert found.faults[0].path == second.path


def test_a_speechbrain_json_manifest(tmp_path, write_tone):
    write_tone(tmp_path / "audio" / "a.wav")
    manifest = {
        "a": {
            "wav": "{data_root}/a.wav",
            "duration": 0.1,
            "transcript": "wake me",
            "semantics": {"scenario": "alarm", "action": "set", "entities": []},
            "spk_id": "s1",
        }
    }
    (tmp_path / "train.json").write_text(json.dumps(manifest))
    found = find_clips(tmp_path, data_root=tmp_path / "audio")
    assert found.name == tmp_path.stem
    assert found.missing == ("valid.csv or valid.json", "test.csv or test.json")
    (clip,) = found.clips
    assert clip.path == tmp_path / "audio" / "a.wav"
    assert (clip.intent, clip.scenario, clip.speaker) == ("alarm_set", "alarm", "s1")
    assert clip.split == "train"


def test_a_speechbrain_csv_manifest(tmp_path, write_tone):
    write_tone(tmp_path / "a.wav")
    semantics = (
        "{'scenario': 'alarm'| 'action': 'set'| 'entities': [{'type': 'time'| 'filler': 'six'}]}"
    )
    row = {"ID": "0", "duration": "0.1", "wav": str(tmp_path / "a.wav"), "semantics": semantics,
           "transcript": "at six"}  # fmt: skip
    write_csv(tmp_path / "test.csv", [row])
    (clip,) = find_clips(tmp_path / "test.csv").clips  # absolute and inside
    assert (clip.intent, clip.slots) == ("alarm_set", (("time", "six"),))
    assert (clip.split, clip.seconds) == ("test", pytest.approx(0.1))


def test_a_list_of_rows(tmp_path, write_tone):
    write_tone(tmp_path / "a.wav")
    rows = [{"path": "a.wav", "intent": "go", "slots": [["to", "bed"], ["to", "rest"]]}]
    (tmp_path / "m.json").write_text(json.dumps(rows))
    (clip,) = find_clips(tmp_path / "m.json").clips
    assert clip.slots == (("to", "bed"), ("to", "rest"))


@pytest.mark.parametrize(
    "path", ["../outside.wav", "in/../../outside.wav", "{data_root}/../outside.wav"]
)
def test_no_row_leads_out_of_the_data_root(tmp_path, write_tone, path):
    root = tmp_path / "root"
    write_tone(tmp_path / "outside.wav")
    manifest = write_csv(root / "m.csv", [{"path": path, "intent": "go"}])
    told = fails(manifest)
    assert told.startswith(f"{manifest}, line 2: path ")
    assert f"leads out of {root}; expected one inside, or a data_root that holds it" in told


def test_an_absolute_path_is_read_where_the_data_root_holds_it(tmp_path, write_tone):
    outside = write_tone(tmp_path / "outside.wav")
    manifest = write_csv(tmp_path / "root" / "m.csv", [{"path": outside, "intent": "go"}])
    assert "leads out of" in fails(manifest)
    assert find_clips(manifest, data_root="/").clips[0].path == outside
    assert find_clips(manifest, data_root=tmp_path).clips[0].path == outside


def test_a_link_in_the_folder_is_followed(tmp_path, write_tone):
    outside = write_tone(tmp_path / "store" / "x.wav")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.wav").symlink_to(outside)
    assert inside(tmp_path / "root", "a.wav", "row 1") == tmp_path / "root" / "a.wav"
    manifest = write_csv(tmp_path / "root" / "m.csv", [{"path": "a.wav", "intent": "go"}])
    assert len(find_clips(manifest)) == 1


GOOD = {"path": "a.wav", "intent": "go"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"path": "", "intent": "go"}, "line 2: path is absent or empty"),
        (
            {"file_name": "a.wav", "intent": "go"},
            "m.csv: no column path; found file_name, intent; expected path or wav or audio or file",
        ),
        (
            {"path": "a.wav", "label": "go", "speaker": "x"},
            "m.csv: no column intent; found path, label, speaker; expected intent or semantics",
        ),
        ({"path": "a.wav", "intent": ""}, "line 2: no intent, nor one in semantics"),
        (GOOD | {"wav": "a.wav"}, "line 2: both path and wav; expected one for the path"),
        (GOOD | {"split": "training"}, "line 2: split is 'training'"),
        (GOOD | {"duration": "long"}, "line 2: duration is 'long'; expected seconds"),
        (GOOD | {"slots": "large"}, "line 2: slots have 'large'; expected JSON"),
        (GOOD | {"slots": "[1, 2]"}, "line 2: a slot is 1; expected a type and a filler"),
        (GOOD | {"slots": "{open('x')}"}, "line 2: slots are \"{open('x')}\"; expected JSON"),
        (GOOD | {"semantics": "__import__('os')"}, "line 2: semantics are"),
        (GOOD | {"semantics": "['a']"}, "line 2: semantics are a list; expected a dictionary"),
        (GOOD | {"path": "a\0.wav"}, "line 2"),
    ],
)
def test_a_broken_row_is_named(tmp_path, write_tone, row, message):
    write_tone(tmp_path / "a.wav")
    assert message in fails(write_csv(tmp_path / "m.csv", [row]))


def test_one_file_in_two_rows(tmp_path, write_tone):
    write_tone(tmp_path / "a.wav")
    told = fails(write_csv(tmp_path / "m.csv", [GOOD, {"path": "x/../a.wav", "intent": "no"}]))
    assert "line 3" in told
    assert "is named in" in told
    assert told.endswith("line 2 already")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected a header and rows"),
        (b"path,intent\n", "no usable clip; there is no row of labels"),
        (b"path,path,intent\na,b,c\n", "two columns are named 'path'"),
        (b"path,intent\n\xff\xfe,x\n", "is no UTF-8 text"),
        (b'path,intent\n"a.wav,go\n', "is no valid CSV"),
    ],
)
def test_a_broken_csv(tmp_path, content, message):
    (tmp_path / "m.csv").write_bytes(content)
    assert message in fails(tmp_path / "m.csv")


@pytest.mark.parametrize("mark", ";\t")
def test_a_csv_without_commas(tmp_path, write_tone, mark):
    write_tone(tmp_path / "a.wav")
    rows = [["path", "intent", "transcript"], ["a.wav", "go", '"now, please"']]
    (tmp_path / "m.csv").write_text("".join(mark.join(row) + "\n" for row in rows))
    (clip,) = find_clips(tmp_path / "m.csv").clips
    assert (clip.intent, clip.transcript) == ("go", "now, please")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no valid JSON"),
        ("3", "holds a int; expected rows by name or a list"),
        ('{"a": 3}', "a: is a int; expected an object"),
        ('[{"path": ["a"], "intent": "b"}]', "item 1: path is a list; expected text"),
        ("[" * 100_000, "is nested too deep"),
        ("[]", "there is no row of labels"),
        ('[{"path": "a", "label": "b"}]', "m.json, item 1: no column intent; found path, label"),
    ],
)
def test_a_broken_json(tmp_path, content, message):
    (tmp_path / "m.json").write_text(content)
    assert message in fails(tmp_path / "m.json")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    (tmp_path / "m.csv").write_text("path,intent\na.wav,go\n", encoding="utf-8-sig")
    assert [row for _, row in csv_rows(tmp_path / "m.csv")] == [GOOD]


# Semantics


def test_semantics_of_the_recipes():
    fluent = '{"action:" "increase"| "object": "heat"| "location": "living room"}'
    assert parse_semantics(fluent, "row 1") == Meaning("increase_heat_living_room")
    timers = "{'intent': 'SetTimer', 'slots': {'hours': 2, 'alarms': ['six am', 'seven am']}}"
    assert parse_semantics(timers, "row 1") == Meaning(
        "SetTimer", (("hours", "2"), ("alarms", "six am"), ("alarms", "seven am"))
    )
    assert parse_semantics("", "row 1") == Meaning()
    bars = "{'intent': 'say', 'slots': {'what': 'a|b'}}"  # read as it stands before bars are commas
    assert parse_semantics(bars, "row 1").slots == (("what", "a|b"),)


def test_slots_of_all_forms():
    pairs = (("size", "large"), ("roast", "dark roast"))
    for form in (
        '{"size": "large", "roast": "dark roast"}',
        "{'size': 'large', 'roast': 'dark roast'}",
        '[["size", "large"], ["roast", "dark roast"]]',
        "size=large|roast=dark roast",
        [{"type": "size", "filler": " large"}, {"type": "roast", "filler": "dark  roast"}],
        {"size": "large", "roast": "dark roast", "milk": "", "sugar": None},
    ):
        assert parse_slots(form, "row 1") == pairs
    assert parse_slots(None, "row 1") == parse_slots(" ", "row 1") == ()


# Faults among clips


def test_faults_are_counted_and_named(tmp_path, write_tone):
    write_tone(tmp_path / "good.wav")
    write_tone(tmp_path / "long.wav", seconds=2)
    write_tone(tmp_path / "loud.wav", level=2)
    (tmp_path / "dead.wav").write_bytes(b"RIFF nothing")
    (tmp_path / "void.wav").write_bytes(b"")
    names = ("good", "long", "loud", "dead", "void", "gone")
    rows = [
        {"path": f"{n}.wav", "intent": n, "transcript": "" if n == "good" else n} for n in names
    ]
    manifest = write_csv(tmp_path / "m.csv", rows)
    found = find_clips(manifest, max_seconds=1, check="decode")
    assert [clip.intent for clip in found.clips] == ["good", "loud"]
    assert {fault.path.stem: fault.kind for fault in found.faults} == {
        "good": "no transcript", "long": "too long", "loud": "clipped",
        "dead": "unreadable", "void": "empty", "gone": "missing",
    }  # fmt: skip
    text = found.summary()
    assert (
        f"too long: 1 left out ({tmp_path / 'long.wav'}); the first lasts 2.0 s; expected at most "
        "1 s (setting max_seconds)\n"
    ) in text
    assert f"no transcript: 1 kept ({tmp_path / 'good.wav'})" in text
    unheard = find_clips(manifest, check="none")
    assert len(unheard) == 6
    assert all(math.isnan(clip.seconds) for clip in unheard.clips)


def test_a_length_told_by_the_row_is_enough(tmp_path):
    rows = [{"path": f"{n}.wav", "intent": "go", "duration": n} for n in (1, 3)]
    found = find_clips(write_csv(tmp_path / "m.csv", rows), check="none", max_seconds=2)
    assert [clip.seconds for clip in found.clips] == [1]
    assert found.fault_counts()["too long"] == 1


# Layouts


def test_no_layout(tmp_path):
    assert "no such file or folder" in fails(tmp_path / "none")
    told = fails(tmp_path)
    assert all(f"{name}: {layout.looked_for}" in told for name, layout in LAYOUTS.items())
    assert "layout 'fluent' is unknown; expected one of fsc, slurp" in fails(
        tmp_path, layout="fluent"
    )
    assert "fsc has no option 'speed'; it has none" in fails(tmp_path, layout="fsc", speed=2)
    assert "expected some of recordings, synthetic" in fails(tmp_path, layout="slurp", speed=2)
    for name, layout in LAYOUTS.items():
        assert fails(tmp_path, layout=name).endswith(
            f"is no {name}; looked for {layout.looked_for}"
        )


def test_a_folder_of_manifests_of_other_names(tmp_path):
    for name in ("b.csv", "a.csv", "notes.txt"):
        (tmp_path / name).write_text("path,intent\n")
    assert fails(tmp_path).endswith(
        f"expected one file, such as {tmp_path / 'a.csv'} or another of its 2"
    )


def test_slurp_recordings_are_known_ones(slurp):
    assert "recordings is 'near'" in fails(slurp, recordings="near")


def test_settings_of_the_look_are_checked(fsc):
    assert "check is 'ears'" in fails(fsc, check="ears")
    assert "max_seconds is 0; expected more than 0" in fails(fsc, max_seconds=0)


# The real sets


@pytest.mark.data
def test_real_barista(real):
    found = find_clips(real("barista"), check="decode")
    assert found.name == "barista"
    assert dict(Counter(clip.intent.removeprefix("orderDrink_") for clip in found.clips)) == {
        "americano": 47, "cappuccino": 53, "coffee": 38, "drip_coffee": 40, "espresso": 39,
        "house_coffee": 49, "iced_coffee": 45, "iced_mocha": 52, "latte": 42, "mocha": 64,
    }  # fmt: skip
    assert found.fault_counts() == {"no transcript": 469}
    kinds = Counter(kind for clip in found.clips for kind, _ in clip.slots)
    assert set(kinds) == {"size", "roast", "numberOfShots", "milkAmount", "sugarAmount"}
    fillers = {filler for clip in found.clips for _, filler in clip.slots}
    assert not any(filler != filler.strip() for filler in fillers)
    assert find_clips(real("barista"), max_seconds=7).fault_counts()["too long"] == 3


@pytest.mark.data
def test_real_fsdd(real):
    found = find_clips(real("fsdd"), check="decode")
    assert set(Counter(clip.intent for clip in found.clips).values()) == {200}
    assert (len(found.of("train")), len(found.of("test")), found.faults) == (1800, 200, ())
    assert {clip.speaker for clip in found.clips} == {"george", "jackson", "lucas", "nicolas"}


@pytest.mark.data
def test_real_slurp_text(real):
    assert find_layout(LAYOUTS, real("slurp")) == "slurp"
    found = find_clips(real("slurp"), check="none")
    assert (len(found), len(found.of("valid"))) == (8690, 8690)
    sentences = find_clips(real("slurp"), check="none", recordings="first")
    assert len(sentences) == 2033
    assert len({clip.scenario for clip in found.clips}) == 18
    assert len({clip.intent for clip in found.clips}) == 59
    assert sentences.clips[0].slots == (
        ("currency_name", "american dollar"), ("currency_name", "japanese yen"),
    )  # fmt: skip
    with pytest.raises(
        UserError, match=r"lacks train.jsonl, test.jsonl, slurp_real/; missing: 8690"
    ):
        find_clips(real("slurp"))


def test_what_simulate_writes_is_what_was_spoken(tmp_path):
    write_simulated(tmp_path, seed=3)
    found = find_clips(tmp_path)
    made = simulate_clips(tmp_path / "again", seed=3)
    assert not found.faults

    def told(clips):
        return {c.path.name: (c.intent, c.slots, c.transcript, c.speaker, c.split) for c in clips}

    assert told(found.clips) == told(made.clips)
    for clip in made.clips:
        assert (tmp_path / "wavs" / clip.path.name).read_bytes() == clip.path.read_bytes()
