"""Atomic files, checkpoints and the run folder: whole or not there, and never lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nearfar_kit.atomic import new_folder, replacing, write_atomic
from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.command import new_app, run_app
from nearfar_kit.errors import UserError
from nearfar_kit.run import RunFolder, model_of, take_back
from nearfar_kit.settings import Settings


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class TestAtomic:
    def test_a_failure_leaves_the_old_file_and_nothing_beside(self, tmp_path):
        file = tmp_path / "a.txt"
        write_atomic(file, "old")

        def fails_half_way():
            with replacing(file) as beside:
                beside.write_text("half")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fails_half_way()
        assert file.read_text() == "old"
        assert names(tmp_path) == ["a.txt"]

    def test_a_folder_appears_whole_or_not_at_all(self, tmp_path):
        def fails_half_way():
            with new_folder(tmp_path / "in" / "a") as beside:
                (beside / "half").touch()
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fails_half_way()
        assert names(tmp_path / "in") == []
        with new_folder(tmp_path / "in" / "a") as beside:
            (beside / "whole").touch()
            assert not (tmp_path / "in" / "a").exists()
        assert names(tmp_path / "in") == ["a"]
        assert names(tmp_path / "in" / "a") == ["whole"]
        with (
            pytest.raises(UserError, match=r"in/a: exists; expected a folder that is empty or not"),
            new_folder(tmp_path / "in" / "a"),
        ):
            raise AssertionError  # it never comes to that

    def test_a_missing_folder_is_one_clear_line(self, tmp_path):
        with pytest.raises(UserError, match=r"no/a\.txt: cannot be written"):
            write_atomic(tmp_path / "no" / "a.txt", "x")

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
    def test_a_full_disk_is_one_clear_line(self, tmp_path, monkeypatch):
        file = tmp_path / "a.txt"
        write_atomic(file, "old")

        def full():
            with replacing(file) as beside:
                beside.symlink_to("/dev/full")
                beside.write_text("x" * 100)

        with pytest.raises(UserError, match=r"a\.txt: cannot be written .No space left on device"):
            full()
        assert file.read_text() == "old"
        assert names(tmp_path) == ["a.txt"]


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(),
    st.integers(0, 5).map(lambda n: torch.arange(n, dtype=torch.float64)),
)  # fmt: skip
nests = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        return torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


class TestCheckpoint:
    @given(state=st.dictionaries(st.text(), nests, max_size=3))
    def test_what_is_saved_comes_back(self, tmp_path_factory, state):
        file = tmp_path_factory.mktemp("c") / "state.safetensors"
        save_checkpoint(file, state)
        assert same(state, load_checkpoint(file))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.uint8, torch.int64, torch.bool])
    def test_dtypes_and_views(self, tmp_path, dtype):
        whole = torch.arange(12).reshape(3, 4).to(dtype)
        save_checkpoint(tmp_path / "c", {"turned": whole.T, "row": whole[1], "scalar": whole[0, 0]})
        back = load_checkpoint(tmp_path / "c")
        assert torch.equal(back["turned"], whole.T)
        assert torch.equal(back["row"], whole[1])
        assert back["scalar"].shape == ()

    @pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
    def test_an_optimizers_state_is_the_same_optimizer(self, tmp_path, layout):
        """Fused Adam goes through memory as it lies: the order of axes there must come back."""

        def train(steps, state=None):
            torch.manual_seed(0)
            net = torch.nn.Conv2d(2, 2, 3).to(memory_format=layout)
            optimizer = torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
            if state is not None:
                net.load_state_dict(state["net"])
                optimizer.load_state_dict(state["optimizer"])
            x = torch.arange(18.0).view(1, 2, 3, 3)
            for _ in range(steps):
                optimizer.zero_grad()
                net(x).square().sum().backward()
                optimizer.step()
            return {"net": dict(net.state_dict()), "optimizer": optimizer.state_dict()}

        save_checkpoint(tmp_path / "c", train(3))
        resumed = train(2, load_checkpoint(tmp_path / "c"))
        assert torch.equal(resumed["net"]["weight"], train(5)["net"]["weight"])

    def test_the_order_of_axes_in_memory_is_kept(self, tmp_path):
        x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
        save_checkpoint(tmp_path / "c", {"x": x, "wide": x.expand(2, 3, 4, 5)[..., :1]})
        back = load_checkpoint(tmp_path / "c")
        assert torch.equal(back["x"], x)
        assert back["x"].stride() == x.stride()
        assert torch.equal(back["wide"], x[..., :1])

    def test_what_it_cannot_hold(self, tmp_path):
        with pytest.raises(TypeError, match="cannot hold a ndarray"):
            save_checkpoint(tmp_path / "c", {"a": np.zeros(2)})
        assert names(tmp_path) == []

    @pytest.mark.parametrize("cut", [0, 4, 20, -1])
    def test_a_truncated_file(self, tmp_path, cut):
        file = tmp_path / "c.safetensors"
        save_checkpoint(file, {"a": torch.ones(50)})
        file.write_bytes(file.read_bytes()[:cut])
        with pytest.raises(UserError, match=r"c\.safetensors: is no checkpoint, or a damaged one"):
            load_checkpoint(file)

    def test_a_pickle_is_not_run(self, tmp_path):
        torch.save({"a": 1}, tmp_path / "c")
        with pytest.raises(UserError, match="is no checkpoint"):
            load_checkpoint(tmp_path / "c")

    def test_none_there(self, tmp_path):
        with pytest.raises(UserError, match="no such checkpoint"):
            load_checkpoint(tmp_path / "c")

    def test_killed_while_it_saves_the_file_is_a_whole_one(self, tmp_path):
        script = textwrap.dedent(f"""
            import itertools, pathlib, torch
            from nearfar_kit.checkpoint import save_checkpoint
            for n in itertools.count():
                save_checkpoint(pathlib.Path({str(tmp_path)!r}) / "c", {{"n": n,
                    "a": torch.full((200_000,), n)}})
                print(n, flush=True)
        """)
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(20):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        state = load_checkpoint(tmp_path / "c")
        assert state["n"] >= 19
        assert (state["a"] == state["n"]).all()


class Own(Settings):
    steps: int = 3
    name: str = "a"


class TestRunFolder:
    def test_a_run_is_never_written_over(self, tmp_path):
        RunFolder(tmp_path / "r", Own())
        for resume, hint in ((None, "$"), (False, ", or --resume$")):
            with pytest.raises(
                UserError, match=r"--out .*r: holds a run; expected a new folder" + hint
            ):
                RunFolder(tmp_path / "r", Own(), resume=resume)

    def test_resuming_asks_for_the_same_settings(self, tmp_path):
        assert not RunFolder(tmp_path / "r", Own()).resumed
        assert RunFolder(tmp_path / "r", Own(), resume=True).resumed
        with pytest.raises(UserError, match="steps was 3, is 4, name was 'a', is 'b'"):
            RunFolder(tmp_path / "r", Own(steps=4, name="b"), resume=True)
        assert "steps: 3" in (tmp_path / "r" / "settings.yaml").read_text()

    def test_resuming_nothing_begins(self, tmp_path):
        RunFolder(tmp_path / "r", Own(), resume=True)
        assert (tmp_path / "r" / "settings.yaml").exists()

    def test_a_mistake_found_late_leaves_the_way_free(self, tmp_path):
        """What has done nothing is taken back; what has done something can be resumed."""
        app = new_app("")

        @app.command()
        def measure(done: bool = False) -> None:
            run = RunFolder(tmp_path / "r", Own())
            run.log("begin")
            assert run.checkpoint.is_dir()
            if done:
                (run.checkpoint / "job.json").touch()
            raise UserError("no")

        def status(*arguments):
            with pytest.raises(SystemExit) as end:
                run_app(app, [*arguments])
            return end.value.code or 0

        assert status() == 2
        assert list(tmp_path.iterdir()) == []
        assert status("--done") == 2
        assert {p.name for p in (tmp_path / "r").iterdir()} == {
            "settings.yaml", "log.jsonl", "checkpoint"
        }  # fmt: skip
        RunFolder(tmp_path / "r", Own(), resume=True)
        assert take_back()
        assert status() == 2  # a run is there: it is not this process's to take back
        assert (tmp_path / "r" / "checkpoint" / "job.json").exists()

    def test_a_mistake_leaves_the_folder_that_a_link_leads_to(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        RunFolder(tmp_path / "link", Own())
        assert not take_back()
        assert (tmp_path / "link").is_symlink()
        assert list((tmp_path / "real").iterdir()) == []

    def test_its_model(self, tmp_path):
        with pytest.raises(UserError, match=r"holds no trained model; expected a run folder"):
            model_of(tmp_path)
        file = RunFolder(tmp_path, Own()).checkpoint / "model.safetensors"
        file.touch()
        assert model_of(tmp_path) == model_of(file) == file
        file.unlink()
        with pytest.raises(UserError, match="holds no trained model yet; its command"):
            model_of(tmp_path)

    @pytest.mark.parametrize("content", ["[", "3", "\x00"])
    def test_damaged_settings(self, tmp_path, content):
        RunFolder(tmp_path, Own())
        (tmp_path / "settings.yaml").write_text(content)
        with pytest.raises(UserError, match=r"settings.yaml: (cannot be read|holds no settings)"):
            RunFolder(tmp_path, Own(), resume=True)

    def test_a_file_in_the_way(self, tmp_path):
        (tmp_path / "r").write_text("")
        for out in (tmp_path / "r", tmp_path / "r" / "s"):
            with pytest.raises(UserError, match="is a file; expected a folder"):
                RunFolder(out, Own())

    def test_the_log_is_one_object_a_line(self, tmp_path):
        run = RunFolder(tmp_path, Own())
        run.log("begin", seed=3)
        run.log("step", text="two\nlines — ü")
        lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["event"] for line in lines] == ["begin", "step"]
        assert json.loads(lines[1])["text"] == "two\nlines — ü"

    def test_of_several_processes_the_first_alone_writes(self, tmp_path, monkeypatch):
        RunFolder(tmp_path / "r", Own()).log("begin")
        monkeypatch.setenv("RANK", "1")
        other = RunFolder(tmp_path / "r", Own())
        other.log("begin")
        assert not other.writes
        assert len((tmp_path / "r" / "log.jsonl").read_text().splitlines()) == 1
