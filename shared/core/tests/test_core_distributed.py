"""Every loss over several processes is the loss of one process with the whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from core_ranks import (
    ENTRIES,
    QK,
    SIZES,
    WAYS,
    N,
    amcl,
    far_norms,
    ignored,
    mean_scores,
    mixed,
    own_rows,
    part,
    places,
    run,
    sog_clr,
    work,
)
from torch import Tensor

import nearfar.functional as F
from nearfar.targets import Listed


@pytest.fixture(params=list(WAYS))
def way(request):
    return request.param


@pytest.fixture(scope="module", params=list(SIZES))
def ranks(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"ranks{request.param}")
    mp.start_processes(work, (request.param, str(folder)), request.param, start_method="spawn")
    files = [Path(folder, f"{rank}.pt") for rank in range(request.param)]
    return [torch.load(file, weights_only=True) for file in files]


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-9, atol=1e-10)


class TestEveryLoss:
    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    @pytest.mark.parametrize("name", list(ENTRIES))
    def test_equals_one_process(self, ranks, name, reduction, way):
        if ENTRIES[name].loss == "nspt" and reduction == "none":
            return
        entry, world = ENTRIES[name], len(ranks)
        loss, of_rows, of_all = run(entry, slice(0, N), None, reduction)
        # With a loss a row, the objective is the sum of all processes'; DDP takes its mean.
        each = reduction == "none" and loss.ndim > 0
        for rank, results in enumerate(ranks):
            rows = own_rows(rank, world)
            got, own, _ = results[name, reduction, way]
            assert close(got, loss.view(-1, N)[:, rows].reshape(-1) if each else loss)
            for g, whole in zip(own, of_rows, strict=True):
                assert close(g, (1 if each else world) * part(whole, rows, entry.dim))
        # DDP's mean over processes, of what all hold alike.
        for number, whole in enumerate(of_all):
            parts = [results[name, reduction, way][2][number] for results in ranks]
            assert close(torch.stack(parts).mean(0) * (world if each else 1), whole)

    def test_every_statistic_goes_round(self, ranks):
        values, of_rows, (of_scale,) = mean_scores(slice(0, N))
        for rank, results in enumerate(ranks):
            rows = own_rows(rank, len(ranks))
            got, own, _ = results["mean of scores"]
            assert close(got, values[:, rows])
            for g, whole in zip(own, of_rows, strict=True):
                assert close(g, whole[rows])
        total = sum(results["mean of scores"][2][0] for results in ranks)
        assert close(total, of_scale)

    def test_a_bound_of_one_process_is_not_the_rings(self, ranks):
        loss, of_rows, _ = far_norms(slice(0, N))
        for rank, results in enumerate(ranks):
            got, own, _ = results["far norms"]
            assert close(got, loss)
            for g, whole in zip(own, of_rows, strict=True):
                assert close(g, len(ranks) * whole[own_rows(rank, len(ranks))])

    def test_a_temperature_a_row(self, ranks, way):
        loss, of_rows, (tau,) = run(ENTRIES["info_nce"], slice(0, N), per_row=True)
        for rank, results in enumerate(ranks):
            got, own, (own_tau,) = results["per row", way]
            assert close(got, loss)
            rows = own_rows(rank, len(ranks))
            assert close(own[0], len(ranks) * of_rows[0][rows])
            assert close(own_tau, len(ranks) * tau[rows])

    def test_targets_count_a_process_own_keys(self, ranks, way):
        world = len(ranks)
        index = torch.cat([
            torch.stack([torch.arange(n), torch.arange(n).flip(0)], 1) + sum(SIZES[world][:r])
            for r, n in enumerate(SIZES[world])
        ])  # fmt: skip
        weight = torch.tensor([0.7, 0.3], dtype=torch.float64).repeat(N, 1)
        want = F.soft_targets(QK["queries"], QK["keys"], Listed(index, weight))
        for results in ranks:
            assert close(results["listed", way][0], want)

    @pytest.mark.parametrize("name", ["ignored", "mixed", "places", "sog_clr", "amcl"])
    def test_what_counts_or_keeps_rows(self, ranks, name, way):
        world = len(ranks)
        blocks = [own_rows(rank, world) for rank in range(world)]
        whole = {
            "ignored": lambda: ignored(slice(0, N), blocks),
            "mixed": lambda: mixed(slice(0, N), blocks),
            "places": lambda: places(slice(0, N), blocks),
            "sog_clr": lambda: sog_clr(slice(0, N)),
            "amcl": lambda: amcl(slice(0, N)),
        }
        loss, of_rows, of_all = whole[name]()
        for rows, results in zip(blocks, ranks, strict=True):
            got, own, _ = results[name, way]
            assert close(got, loss)
            for g, w in zip(own, of_rows, strict=True):
                assert close(g, world * w[rows])
        for number, want in enumerate(of_all):
            each = torch.stack([results[name, way][2][number] for results in ranks])
            if name == "sog_clr":  # its state
                assert all(close(state, want) for state in each)
            else:
                assert close(each.mean(0), want)


def test_losses_without_a_place_are_refused(tmp_path):
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        entry = ENTRIES["nspt"]
        with pytest.raises(ValueError, match="expected 'mean' or 'sum' with a group"):
            F.nspt(**entry.rows, reduction="none", group=dist.group.WORLD)
    finally:
        dist.destroy_process_group()
