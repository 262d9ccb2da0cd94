"""Work that is kept now and then, and gone on with."""

from __future__ import annotations

import pytest
import torch

import nearfar.functional as F
from nearfar_kit import work as kept_work
from nearfar_kit.errors import UserError
from nearfar_kit.run import RunFolder
from nearfar_kit.settings import Settings
from nearfar_kit.work import carry_out, finite

BEGUN = {"seed": 0, "names": ["a", "b"]}


class Counting:
    """A work whose result tells which steps were done, in which order."""

    def __init__(self, fails_at: int = -1) -> None:
        self.done, self.sum, self.fails_at = 0, 0, fails_at

    def step(self) -> float:
        if self.done == self.fails_at:
            raise RuntimeError("killed")
        self.sum = 2 * self.sum + self.done
        self.done += 1
        return float(self.done)

    def state(self):
        return {"done": self.done, "sum": self.sum}

    def load_state(self, state):
        self.done, self.sum = state["done"], state["sum"]


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run", Settings())


def test_all_steps_without_a_run_folder():
    work = Counting()
    carry_out(work, 5, "counting", BEGUN)
    assert work.done == 5


def test_a_killed_work_goes_on_from_its_last_checkpoint(run, monkeypatch):
    monkeypatch.setattr(kept_work, "SAVE_EVERY", -1.0)  # after each step
    with pytest.raises(RuntimeError):
        carry_out(Counting(fails_at=3), 6, "counting (up)", BEGUN, run)
    again, whole = Counting(), Counting()
    steps = []
    carry_out(again, 6, "counting (up)", BEGUN, run, shown=lambda: steps.append(again.done) or {})
    carry_out(whole, 6, "counting", BEGUN)
    assert steps == [4, 5, 6]
    assert again.sum == whole.sum
    assert [path.name for path in run.checkpoint.iterdir()] == ["counting-up.safetensors"]


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_ends_it(loss):
    class Learning(Counting):
        @finite
        def step(self) -> float:
            return loss if super().step() == 3 else -1.0

    work = Learning()
    with pytest.raises(UserError, match=f"^training, step 3: the loss is {loss}; expected finite"):
        carry_out(work, 7, "counting", BEGUN)
    assert work.done == 3


def test_vectors_that_are_no_numbers_end_it():
    class Learning(Counting):
        @finite
        def step(self) -> float:
            rows = torch.full((4, 2), torch.nan if super().step() == 2 else 1.0)
            return float(F.nt_xent(rows, rows))

    with pytest.raises(UserError, match=r"^training, step 2: .*NaN or infinity in row 0; expected"):
        carry_out(Learning(), 7, "counting", BEGUN)


def test_work_that_ends_before_its_steps(run):
    work = Counting()
    carry_out(work, 100, "counting", BEGUN, run, over=lambda: work.done == 7)
    assert work.done == 7
    again = Counting()
    carry_out(again, 100, "counting", BEGUN, run, over=lambda: again.done == 7)
    assert again.sum == work.sum  # and nothing was done anew


@pytest.mark.parametrize(
    ("now", "told"),
    [({"seed": 1, "names": ["a", "b"]}, "began with seed 0, now 1; expected the same"),
     ({"seed": 0, "names": ["a", "b", "c"]}, r"names a to b \(2\), now a to c \(3\)"),
     ({"seed": 0, "names": ["a", "b"], "users": 3}, "began with users None, now 3")],
)  # fmt: skip
def test_other_data_than_it_began_with(run, now, told):
    carry_out(Counting(), 2, "counting", BEGUN, run)
    with pytest.raises(UserError, match=f"--resume: counting {told}" if "began" in told else told):
        carry_out(Counting(), 2, "counting", now, run)
