"""Jobs that leave files: what is there is not done again, and rounds follow one another."""

import json
from dataclasses import dataclass

import pytest

from nearfar_kit.jobs import do_jobs, read_jobs


@dataclass(frozen=True)
class Number:
    value: int

    @property
    def file(self) -> str:
        return f"{self.value}.json"


def test_only_what_is_not_there_is_done(tmp_path):
    (tmp_path / "1.json").write_text('"before"')
    jobs, done = [Number(n) for n in range(3)], []

    def work(job):
        done.append(job.value)
        (tmp_path / job.file).write_text(json.dumps(job.value))
        return job.file

    do_jobs([(work, jobs[:2]), (work, jobs[2:])], tmp_path, processes=1, quiet=True)
    assert done == [0, 2]
    assert read_jobs(jobs[::-1], tmp_path) == [2, "before", 0]


def test_a_failure_leaves_no_half_file(tmp_path):
    def work(job):
        (tmp_path / ".0.json.part").write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        do_jobs([(work, [Number(0)])], tmp_path, processes=1, quiet=True)
    assert list(tmp_path.iterdir()) == []
