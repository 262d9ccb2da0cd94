"""Files made to harm: every command says no in one line, with status 2, in bounded memory and time.

Each case runs in a fork that may not take a GiB more memory or 15 seconds of processor time than it
has: a file that blows up there ends with another status.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import multiprocessing
import os
import pickle
import resource
import struct
import subprocess
import sys
import wave
import zipfile
import zlib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

MORE_BYTES = 2**30
MORE_SECONDS = 15


class Evil:
    """Whoever unpickles this makes a file."""

    def __reduce__(self):
        return (open, ("owned", "w"))


@pytest.fixture(scope="session", autouse=True)
def _imported():
    """Forks begin with all of it in memory; what a fork takes more is the file's doing."""
    import torch

    for module in ("har.train", "medical.train", "medical.sepclr.separate", "speech.continual"):
        import_module(f"nearfar_{module}")

    torch.set_num_threads(1)  # threads don't outlive a fork


def status_of(domain: str, *arguments: object) -> tuple[int, str]:
    """How a domain's command line ends in a fork, and what it says on stderr."""
    app = import_module(f"nearfar_{domain}.cli").app
    parent, child = multiprocessing.get_context("fork").Pipe()

    def run() -> None:
        from nearfar_kit.command import run_app

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + MORE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        seconds = int(used) + MORE_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        said = io.StringIO()
        status = 0
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                run_app(app, [str(argument) for argument in arguments])
            except SystemExit as end:
                status = end.code or 0
        child.send((status, said.getvalue()))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(200)
    if process.is_alive():
        process.kill()
        return -1, "does not end"
    return parent.recv() if parent.poll() else (process.exitcode, "killed")


def status_alone(domain: str, *arguments: object) -> tuple[int, str]:
    """The same in a process of its own: polars' threads, once begun, do not outlive a fork."""
    command = [sys.executable, "-W", "ignore", "-m", f"nearfar_{domain}.cli"]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=200, check=False
    )
    return done.returncode, done.stderr


def assert_refused(domain: str, *arguments: object, by=status_of) -> str:
    before = set(Path.cwd().rglob("*"))
    status, said = by(domain, *arguments)
    assert status == 2, said
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1
    assert len(said) < 2000
    after = set(Path.cwd().rglob("*"))
    assert not after - before, "something was left"
    return said


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def pickled(path: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(pickle.dumps(Evil()))
    return path


def torch_pickled(path: str) -> str:
    import torch

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state": Evil()}, path)
    return path


def huge_safetensors(path: str, claimed: int = 2**62) -> str:
    """A header that claims to be of so many bytes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(struct.pack("<Q", claimed) + b"{}")
    return path


def npy_header(shape: tuple[int, ...], descr: str = "<i2") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (117 - len(text) % 64 - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def npz(path: str, name: str, content: bytes) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", content)
    return path


def deep(path: str, levels: int = 100_000) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("[" * levels)
    return path


def bomb_png(path: str, side: int = 60_000) -> str:
    """A small file of a picture of 3.6 thousand million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (side // 8 + 1) * 64)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    return path


def nifti(path: str, shape: tuple[int, int, int], content: bytes = b"") -> str:
    """A header of that shape, whatever follows."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 16, 32)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb") if path.endswith(".gz") else open(path, "wb") as file:
        file.write(bytes(header))
        if content:
            file.write(content)
    return path


BEGIN = {
    "har": ("train", "--data", "none.csv"),
    "medical": ("train", "--data", "none"),
    "speech": ("train", "--data", "none"),
}


@pytest.mark.parametrize("domain", BEGIN)
class TestSettings:
    """--config and --set, read by the kit for all."""

    def refused(self, domain, *more):
        return assert_refused(domain, *BEGIN[domain], "--out", "run", *more)

    def config(self, domain, text):
        Path("evil.yaml").write_text(text)
        return self.refused(domain, "--config", "evil.yaml")

    def test_objects(self, domain):
        self.config(domain, "batch: !!python/object/apply:os.system ['touch owned']\n")

    def test_aliases_that_multiply(self, domain):
        lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
        for one, two in zip("abcdefgh", "bcdefghi", strict=True):
            lines.append(f"{two}: &{two} [{', '.join([f'*{one}'] * 10)}]")
        text = "\n".join([*lines, "batch: *i"])
        self.config(domain, text)
        self.config(domain, text.replace("\n", "\n  ").replace("a: &a", "batch:\n  a: &a", 1)
                    .replace("\n  batch: *i", ""))  # fmt: skip

    def test_nested_deeply(self, domain):
        self.config(domain, "batch: " + "[" * 2_000)
        self.refused(domain, "--set", "batch=" + "[" * 2_000)

    def test_values_that_yaml_cannot_hold(self, domain):
        self.refused(domain, "--set", "batch=2026-99-99")
        self.refused(domain, "--set", f"batch={'9' * 10_000}")

    def test_a_file_without_end(self, domain):
        self.refused(domain, "--config", "/dev/zero")


@pytest.mark.parametrize(("domain", "verb"), [("har", "classify"), ("medical", "segment"),
                                              ("speech", "evaluate")])  # fmt: skip
@pytest.mark.parametrize("make", [pickled, torch_pickled, huge_safetensors, deep])
def test_models(domain, verb, make):
    make("run/checkpoint/model.safetensors")
    Path("run/settings.yaml").write_text("{}")
    Path("data").mkdir()
    Path("data/a.csv").write_text("time,device,acc_x,acc_y,acc_z\n0,a,1,2,3\n")
    out = "labels.csv" if domain == "har" else "out"
    assert_refused(domain, verb, "--model", "run", "--data", "data", "--out", out)


class TestHar:
    def refused(self, data, by=status_of):
        return assert_refused("har", "train", "--data", data, "--out", "run", by=by)

    def test_a_pickled_array(self):
        np.savez("evil.npz", imu=np.array([Evil()], dtype=object))
        self.refused("evil.npz")
        np.savez("windows.npz", format="nearfar", signals=np.array([Evil()], dtype=object))
        self.refused("windows.npz")
        np.savez("phone.npz", label_names=np.array([Evil()], dtype=object))
        self.refused("phone.npz")

    @pytest.mark.parametrize("name", ["imu", "label_names"])
    def test_an_array_larger_than_its_file(self, name):
        self.refused(npz("evil.npz", name, npy_header((2**40, 19, 100, 5, 6))))

    @pytest.mark.parametrize("name", ["imu", "label_names"])
    def test_an_array_that_unpacks_to_gigabytes(self, name):
        with (
            zipfile.ZipFile("evil.npz", "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open(f"{name}.npy", "w", force_zip64=True) as file,
        ):
            file.write(npy_header((8, 19, 160_000, 5, 6)))
            for _ in range(8 * 19):
                file.write(bytes(160_000 * 5 * 6 * 2))
        self.refused("evil.npz")

    @pytest.mark.parametrize("inside", ["../../acc_walking_chest.csv", "/acc_walking_chest.csv",
                                        "C:\\acc_walking_chest.csv"])  # fmt: skip
    def test_a_zip_that_leads_out(self, inside):
        Path("real/proband1/data").mkdir(parents=True)
        with zipfile.ZipFile("real/proband1/data/acc_walking_csv.zip", "w") as archive:
            archive.writestr(inside, "attr_time,attr_x,attr_y,attr_z\n1,2,3,4\n")
        assert "leaves the archive" in self.refused("real")

    def test_a_zip_bomb(self):
        Path("real/proband1/data").mkdir(parents=True)
        with (
            zipfile.ZipFile(
                "real/proband1/data/acc_walking_csv.zip", "w", zipfile.ZIP_DEFLATED
            ) as archive,
            archive.open("acc_walking_chest.csv", "w", force_zip64=True) as file,
        ):
            for _ in range(20):
                file.write(bytes(2**24))
        self.refused("real")

    def test_a_link_that_goes_round(self):
        Path("real").mkdir()
        Path("real/proband1").symlink_to("../real", target_is_directory=True)
        self.refused("real")
        Path("round.csv").symlink_to("round.csv")
        self.refused("round.csv")

    def test_names_that_a_terminal_would_obey(self):
        Path("evil.csv").write_text("\x1b[2Jtime,device\n0,a\n")
        assert "\x1b" not in self.refused("evil.csv", by=status_alone)

    def test_text_without_end_in_a_table(self):
        Path("zeros.csv").write_bytes(bytes(2**16))
        self.refused("zeros.csv", by=status_alone)

    def test_formulas_are_no_formulas_in_labels(self):
        import polars as pl

        from nearfar_har.classify import write_labels

        frame = pl.DataFrame({"subject": ["=cmd|' /C calc'!A0", "-1.5", "@x"], "end": [1, 2, 3]})
        write_labels(frame, Path("labels.csv"))
        lines = Path("labels.csv").read_text().splitlines()
        assert lines[1:] == ["'=cmd|' /C calc'!A0,1", "-1.5,2", "'@x,3"]
        write_labels(frame, Path("labels.parquet"))
        assert pl.read_parquet("labels.parquet").equals(frame)


class TestMedical:
    def refused(self, data, *more):
        return assert_refused("medical", "train", "--data", data, "--out", "run", *more)

    def test_a_volume_larger_than_its_file(self):
        for n in range(6):
            nifti(f"in/images/c{n}.nii", (30_000, 30_000, 30_000))
            nifti(f"in/labels/c{n}.nii", (30_000, 30_000, 30_000))
        self.refused("in")

    def test_a_volume_that_unpacks_to_gigabytes(self):
        side = 900
        nifti("in/images/c0.nii.gz", (side, side, side), bytes(4 * side * side))
        for n in range(1, 6):
            nifti(f"in/images/c{n}.nii", (4, 4, 4), bytes(256))
        for n in range(6):
            nifti(f"in/labels/c{n}.nii", (4, 4, 4), bytes(256))
        self.refused("in")

    @pytest.mark.parametrize("layout", ["decathlon", "nnunet"])
    def test_json_nested_deeply(self, layout):
        deep("in/dataset.json")
        Path("in/imagesTr").mkdir()
        self.refused("in", "--layout", layout)

    def test_a_list_that_leads_out(self):
        outside = nifti("outside/secret.nii", (4, 4, 4), bytes(256))
        pairs = [{"image": f"../{outside}", "label": f"../{outside}"}] * 6
        Path("in").mkdir()
        Path("in/dataset.json").write_text(json.dumps({"training": pairs}))
        self.refused("in")

    def test_weights(self):
        from nearfar_kit.errors import UserError
        from nearfar_medical.network import Network
        from nearfar_medical.weights import load_weights

        network = Network(2, 1, 2, widths=(8, 8, 8), norm="BATCH")
        for make in (pickled, torch_pickled, huge_safetensors):
            with pytest.raises(UserError):
                load_weights(network, Path(make("evil.pt")))
        assert not Path("owned").exists()

    def separate(self):
        return assert_refused("medical", "separate", "--background", "a", "--target", "b",
                              "--out", "run")  # fmt: skip

    def test_a_picture_bomb(self):
        for folder in "ab":
            for n in range(8):
                bomb_png(f"{folder}/{n}.png")
        self.separate()

    def test_a_picture_that_is_a_pickle(self):
        for folder in "ab":
            for n in range(8):
                pickled(f"{folder}/{n}.png")
        self.separate()


class TestSpeech:
    def refused(self, data, *more):
        return assert_refused("speech", "train", "--data", data, "--out", "run", *more)

    def sound(self, path, content=bytes(32_000), claimed=None, channels=1):
        with wave.open(path, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(content)
        if claimed:
            data = bytearray(Path(path).read_bytes())
            struct.pack_into("<I", data, 40, claimed)
            Path(path).write_bytes(data)

    def manifest(self, *paths):
        lines = [f"{path},intent{n % 2}" for n, path in enumerate(paths)]
        Path("clips.csv").write_text("\n".join(["path,intent", *lines, ""]))

    def test_json_nested_deeply(self):
        self.refused(deep("clips.json"))

    def test_a_path_that_leads_out(self):
        Path("data").mkdir()
        self.sound("outside.wav")
        Path("data/clips.csv").write_text("path,intent\n../outside.wav,a\n")
        self.refused("data/clips.csv")

    def test_audio_that_claims_to_be_endless(self):
        for n in range(4):
            self.sound(f"{n}.wav", content=b"", claimed=2**32 - 40)
        self.manifest("0.wav", "1.wav", "2.wav", "3.wav")
        self.refused("clips.csv")

    def test_audio_that_is_a_pickle(self):
        self.manifest(*(pickled(f"{n}.wav") for n in range(4)))
        self.refused("clips.csv")

    def test_a_tokenizer_that_is_a_pickle(self):
        for n in range(40):
            noise = np.random.default_rng(n).integers(-999, 999, 16_000).astype("<i2")
            self.sound(f"{n}.wav", noise.tobytes())
        self.manifest(*(f"{n}.wav" for n in range(40)))
        self.refused("clips.csv", "--tokenizer", pickled("evil.model"), "--set", "tasks=2")

    def test_a_run_whose_data_is_nested_deeply(self):
        deep("run/data/train.json")
        deep("run/data/curriculum.json")
        Path("run/settings.yaml").write_text("{}")
        assert_refused("speech", "train", "--resume", "--out", "run")
