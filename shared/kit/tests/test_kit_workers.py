"""Jobs in several processes: their results, and that none outlives the one that began them."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time

import pytest

from nearfar_kit.workers import each

SLOW = """
import os, sys, time
from pathlib import Path
from nearfar_kit.workers import each

def slow(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(30)

if __name__ == "__main__":
    try:
        (Path(sys.argv[1]) / "begun").touch()
        list(each(slow, [Path(sys.argv[1])] * 6, 2))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_every_result_comes_once(processes):
    assert sorted(each(math.factorial, range(5), processes)) == [1, 1, 2, 6, 24]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_job_s_error_reaches_the_caller(processes):
    with pytest.raises(ValueError, match="negative"):
        list(each(math.factorial, [1, -1, 2], processes))


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return open(f"/proc/{pid}/stat").read().split()[2] != "Z"


def _begin(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    folder = tmp_path / "at"
    folder.mkdir()
    return folder, subprocess.Popen(
        [sys.executable, str(tmp_path / "slow.py"), str(folder)],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def _until(condition):
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("never came")


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs POSIX signals")
@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.1, 0.3, 1.0])
def test_ctrl_c_ends_at_once_and_says_nothing_of_the_workers(tmp_path, after_s):
    folder, begun = _begin(tmp_path)
    _until(lambda: (folder / "begun").exists())
    time.sleep(after_s)  # while workers begin, or in the middle of their jobs
    os.killpg(begun.pid, signal.SIGINT)  # as a terminal does: to all processes
    _, errors = begun.communicate(timeout=15)
    assert begun.returncode == 130
    assert errors == ""


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_killed_parent(tmp_path, number):
    folder, begun = _begin(tmp_path)
    _until(lambda: sum(path.name.isdigit() for path in folder.iterdir()) == 2)
    workers = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    assert all(_alive(pid) for pid in workers)
    begun.send_signal(number)
    begun.communicate(timeout=15)
    _until(lambda: not any(_alive(pid) for pid in workers))
