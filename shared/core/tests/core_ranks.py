"""Every loss on several processes and on one; processes are spawned, and import this by name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

import nearfar
import nearfar.functional as F
from nearfar.batch import within
from nearfar.dispatch import row_statistics
from nearfar.pairs import other, same
from nearfar.statistic import Scores, Statistic
from nearfar.targets import Factored, Listed, Teacher

N, D = 19, 6
SIZES = {2: [7, 12], 3: [9, 1, 9], 4: [2, 8, 4, 5]}  # rows of each process
T = "temperature"


def floats(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def codes(kinds: int, *more: int) -> Tensor:
    g = torch.Generator().manual_seed(kinds)
    return torch.randint(0, kinds, (N, *more), generator=g)


@dataclass
class Entry:
    """Inputs that are rows of the batch (differentiable where floating), and those all hold."""

    loss: str
    rows: dict[str, Any]
    alike: dict[str, Any] = field(default_factory=dict)
    learned: str = T
    dim: int = 0
    settings: dict[str, Any] = field(default_factory=dict)


TWO = {"view_a": floats(N, D), "view_b": floats(N, D, seed=1)}
QK = {"queries": floats(N, D), "keys": floats(N, D, seed=1)}
IT = {"image": floats(N, D), "text": floats(N, D, seed=1)}
EMBEDDED = {"embeddings": floats(N, D)}
CENTRES = {"prototypes": floats(5, D, seed=3)}

NSPT = {"student": floats(N, D), "teacher": floats(N, D, seed=1), "labels": codes(4),
        "rehearsal": torch.arange(N) % 5 < 2}  # fmt: skip

ENTRIES = {
    "info_nce": Entry("info_nce", QK),
    "info_nce, symmetric": Entry("info_nce", QK, settings={"symmetric": True}),
    "info_nce, queue": Entry("info_nce", QK, {"negatives": floats(8, D, seed=2)}),
    "info_nce, queue and own": Entry(
        "info_nce", {**QK, "own_negatives": floats(N, 3, D, seed=2)},
        {"negatives": floats(8, D, seed=3)},
    ),
    "info_nce, own": Entry("info_nce", {**QK, "own_negatives": floats(N, 3, D, seed=2)}),
    "nt_xent": Entry("nt_xent", TWO),
    "nt_xent, reference": Entry("nt_xent", TWO, settings={"path": "reference"}),
    "dcl": Entry("dcl", TWO),
    "dclw": Entry("dclw", TWO),
    "contrastive_margin": Entry("contrastive_margin", TWO),
    "contrastive_margin, batch": Entry("contrastive_margin", TWO, settings={"over": "batch"}),
    "sampled_softmax": Entry(
        "sampled_softmax",
        {"hidden": floats(N, D), "positives": floats(N, D, seed=1), "target": codes(5)},
        {"sampled": floats(5, D, seed=4), "classes": torch.tensor([0, 2, 3, 3, 1]),
         "log_q": floats(5, seed=5)},
    ),
    "hard_negative": Entry("hard_negative", TWO),
    "clip": Entry("clip", IT, learned="logit_scale"),
    "siglip": Entry("siglip", IT, {"logit_bias": torch.tensor(-1.0, dtype=torch.float64)},
                    learned="logit_scale"),
    "sup_con": Entry("sup_con", {**EMBEDDED, "labels": codes(4)}),
    "sup_con, in": Entry("sup_con", {**EMBEDDED, "labels": codes(4)}, settings={"positives": "in"}),
    "sup_con, reference": Entry(
        "sup_con", {**EMBEDDED, "labels": codes(4)},
        {"reference": floats(8, D, seed=2), "reference_labels": torch.arange(8) % 3},
    ),
    "hierarchical": Entry("hierarchical_sup_con",
                          {**EMBEDDED, "labels": codes(3), "sublabels": codes(7)}),
    "nspt": Entry("nspt", NSPT),
    "nspt, scl": Entry("nspt", NSPT, settings={"design": "scl"}),
    "meow": Entry("meow", {**QK, "clusters": codes(3, 2)}),
    "sup_remix": Entry("sup_remix", {**EMBEDDED, "labels": codes(5)}),
    "sup_remix, reference": Entry(
        "sup_remix", {**EMBEDDED, "labels": codes(5)},
        {"reference": floats(8, D, seed=2), "reference_labels": torch.arange(8) % 3 + 1},
    ),
    "swav": Entry("swav", TWO, CENTRES),
    "swav, queue": Entry("swav", TWO, {**CENTRES, "queue": floats(8, D, seed=4)}),
    "linear_cross_entropy": Entry(
        "linear_cross_entropy", {"hidden": floats(N, D), "target": codes(5)},
        {"weight": floats(5, D, seed=4), "bias": floats(5, seed=5)}, learned="",
    ),
    "linear_binary_cross_entropy": Entry(
        "linear_binary_cross_entropy", {"hidden": floats(N, D), "positives": codes(5)[:, None]},
        {"weight": floats(5, D, seed=4), "bias": floats(5, seed=5)}, learned="",
    ),
    "groco": Entry("groco", TWO, learned="", settings={"hardest": 4}),
    "sim_lap": Entry(
        "sim_lap", {**EMBEDDED, "labels": codes(4)},
        {"gates": floats(2, D, seed=6).sigmoid(), "class_pairs": torch.tensor([[0, 1], [2, 2]])},
    ),
    "proto_nce": Entry("proto_nce", {**EMBEDDED, "assignment": codes(5)}, CENTRES),
    "mlcd": Entry("mlcd", {**EMBEDDED, "positives": torch.stack([codes(2), codes(3) + 2], 1)},
                  CENTRES),
    "uniformity, reference": Entry("uniformity", EMBEDDED, {"reference": floats(8, D, seed=2)},
                                   learned=""),
    "uniformity": Entry("uniformity", EMBEDDED, learned=""),
    "alignment": Entry("alignment", TWO, learned=""),
    "joint_entropy": Entry("joint_entropy", {"first": floats(N, D), "second": floats(N, 3)}),
    "cacr": Entry("cacr", {"views": floats(3, N, D)}, learned="repulsion", dim=1),
    "cacr, even": Entry("cacr", {"views": floats(3, N, D)}, learned="", dim=1,
                        settings={"repulsion": 0.0, "normalize": False}),
    "local_volumetric": Entry(
        "local_volumetric", {"regions_a": floats(N, 4, D), "regions_b": floats(N, 4, D, seed=1)},
        {"neighbours": torch.tensor([[1, 2], [2, 3], [3, 0], [0, 1]])},
    ),
    "multi_view": Entry(
        "multi_view_weighted",
        {"anchors": floats(N, D), "positives": floats(2, N, D, seed=1),
         "own_negatives": floats(2, N, D, seed=2), "shared_negatives": floats(2, N, D, seed=3)},
        dim=1,
    ),
    "symile": Entry("symile", {"modalities": [floats(N, D, seed=s) for s in range(3)]},
                    learned="logit_scale", settings={"negatives": "all"}),
    "symile, two": Entry("symile", {"modalities": [floats(N, D, seed=s) for s in range(2)]},
                         learned="logit_scale"),
    "teacher": Entry("soft_targets", {
        **QK, "targets": Teacher(floats(N, 3, seed=7), floats(N, 3, seed=8), 0.7)}),
    "soft_targets": Entry("soft_targets", {
        **QK, "targets": Factored(floats(N, 2, seed=7).abs(), floats(N, 2, seed=8).abs())}),
}  # fmt: skip


WAYS = {"gathered": lambda group: group, "ring": nearfar.Ring}


def part(value: Any, rows: slice, dim: int) -> Any:
    if isinstance(value, list):
        return [part(v, rows, dim) for v in value]
    if isinstance(value, Factored | Teacher):
        return replace(value, rows=value.rows[rows], cols=value.cols[rows])
    own = value.movedim(dim if value.ndim > 2 else 0, 0)[rows]
    return own.movedim(0, dim if value.ndim > 2 else 0).clone()


def leaves(inputs: dict[str, Any]) -> list[Tensor]:
    """The differentiable tensors, made leaves."""
    flat = [t for v in inputs.values() for t in (v if isinstance(v, list) else [v])]
    return [t.requires_grad_() for t in flat if isinstance(t, Tensor) and t.is_floating_point()]


def run(entry: Entry, rows: slice, group=None, reduction: str = "mean", per_row: bool = False):
    """Loss, gradients of own rows, gradients of what all hold."""
    own = {name: part(value, rows, entry.dim) for name, value in entry.rows.items()}
    alike = {name: value.clone() for name, value in entry.alike.items()}
    if entry.learned and per_row:
        alike[entry.learned] = 0.2 + 0.1 * torch.arange(N, dtype=torch.float64)[rows]
    elif entry.learned:
        alike[entry.learned] = torch.tensor(0.4, dtype=torch.float64)
    of_rows, of_all = leaves(own), leaves(alike)
    settings = dict(entry.settings)
    if entry.loss not in ("uniformity", "sim_lap"):
        settings["reduction"] = reduction
    if group is not None:
        settings["group"] = group
    loss = getattr(F, entry.loss)(**own, **alike, **settings)
    if loss.ndim:
        weights = torch.arange(1.0, N + 1, dtype=torch.float64)[rows]
        objective = (loss.view(-1, len(weights)) * weights).sum()
    else:
        objective = loss
    gradients = torch.autograd.grad(objective, of_rows + of_all, allow_unused=True)
    filled = [torch.zeros_like(x) if g is None else g
              for x, g in zip(of_rows + of_all, gradients, strict=True)]  # fmt: skip
    return loss.detach(), filled[: len(of_rows)], filled[len(of_rows) :]


def own_rows(rank: int, world: int) -> slice:
    start = sum(SIZES[world][:rank])
    return slice(start, start + SIZES[world][rank])


def work(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    rows, results = own_rows(rank, world), {}
    for way, of in WAYS.items():
        group = of(dist.group.WORLD)
        for name, entry in ENTRIES.items():
            for reduction in ("mean", "sum", "none"):
                if reduction == "none" and entry.loss == "nspt":
                    continue
                results[name, reduction, way] = run(entry, rows, group, reduction)
        results["per row", way] = run(ENTRIES["info_nce"], rows, group, per_row=True)
        results["listed", way] = listed(rows, group)
        results["ignored", way] = ignored(rows, [rows], group)
        results["mixed", way] = mixed(rows, [rows], group)
        results["places", way] = places(rows, [rows], group)
        results["sog_clr", way] = sog_clr(rows, group)
        results["amcl", way] = amcl(rows, group)
    results["mean of scores"] = mean_scores(rows, nearfar.Ring(dist.group.WORLD))
    results["far norms"] = far_norms(rows, nearfar.Ring(dist.group.WORLD))
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def listed(rows: slice, group=None):
    q, k = (part(x, rows, 0).requires_grad_() for x in QK.values())
    n = len(q)
    # Two keys of the same process, by its own numbers.
    index = torch.stack([torch.arange(n), torch.arange(n).flip(0)], 1)
    weight = torch.tensor([0.7, 0.3], dtype=torch.float64).repeat(n, 1)
    loss = F.soft_targets(q, k, Listed(index, weight), group=group)
    return loss.detach(), list(torch.autograd.grad(loss, [q, k])), []


def numbered(blocks: list[slice], first: int, step: int) -> Tensor:
    """Pairs of rows of one process: each with the one ``step`` further on."""
    parts = []
    for block in blocks:
        own = torch.arange(block.stop - block.start)
        parts.append(torch.stack([own, (own + step) % len(own)], 1) + block.start - first)
    return torch.cat(parts)


def ignored(rows: slice, blocks: list[slice], group=None):
    q, k = (part(x, rows, 0).requires_grad_() for x in QK.values())
    index = numbered(blocks, rows.start, 2)
    index[torch.arange(N)[rows] % 3 == 0] = -1
    loss = F.info_nce(q, k, ignored=index, group=group)
    return loss.detach(), list(torch.autograd.grad(loss, [q, k])), []


def mixed(rows: slice, blocks: list[slice], group=None):
    q, k = (part(x, rows, 0).requires_grad_() for x in QK.values())
    weight = torch.tensor([0.7, 0.3], dtype=torch.float64).repeat(len(q), 1)
    targets = Listed(numbered(blocks, rows.start, 1), weight)
    loss = F.mi_mix(q, k, targets, temperature=0.3, group=group)
    return loss.detach(), list(torch.autograd.grad(loss, [q, k])), []


def places(rows: slice, blocks: list[slice], group=None):
    z = part(QK["keys"], rows, 0).requires_grad_()
    # Some rows are in two pairs, so that a process has another number of pairs than of rows.
    pairs = torch.cat([numbered(blocks, rows.start, 1), numbered(blocks, rows.start, 0)])
    loss = F.global_volumetric(z, pairs, codes(5)[rows], group=group)
    return loss.detach(), list(torch.autograd.grad(loss, [z])), []


def sog_clr(rows: slice, group=None):
    a, b = (part(x, rows, 0).requires_grad_() for x in TWO.values())
    loss = nearfar.ISogCLR(samples=2 * N, group=group)
    index = (torch.arange(N) * 2)[rows]
    loss(a, b, index)
    value = loss(a, b, index)
    gradients = list(torch.autograd.grad(value, [a, b]))
    return value.detach(), gradients, [loss.log_u, loss.tau]


def amcl(rows: slice, group=None):
    a, b = (part(x, rows, 0).requires_grad_() for x in TWO.values())
    torch.manual_seed(0)
    loss = nearfar.AMCL(D, heads=2, group=group).double()
    value = loss(a, b)
    gradients = torch.autograd.grad(value, [a, b, *loss.parameters()])
    return value.detach(), list(gradients[:2]), list(gradients[2:])


def mean_scores(rows: slice, ring=None):
    """The statistics that no loss of a ring asks for, with a bias and weights that go round."""
    x, y = (part(z, rows, 0).requires_grad_() for z in QK.values())
    bias = floats(N, seed=9)[rows].requires_grad_()
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    weight = floats(N, seed=10).abs()[rows].log()
    code = codes(3)[rows]
    asked = [Statistic("mean", other(code, code), weight), Statistic("moment", same(code, code))]
    with within(ring):
        values = row_statistics(Scores(x, y, scale, bias), asked)
    weights = torch.arange(1.0, N + 1, dtype=torch.float64)[rows]
    objective = sum((value * weights).sum() for value in values)
    gradients = torch.autograd.grad(objective, [x, y, bias, scale])
    return torch.stack(values).detach(), list(gradients[:3]), list(gradients[3:])


def far_norms(rows: slice, ring=None):
    """Rows that are no unit vectors; the last process's are far longer than the others'."""
    length = torch.where(torch.arange(N) < N - 5, 0.5, 300.0).to(torch.float64)[:, None]
    q, k = ((z.detach() * length)[rows].requires_grad_() for z in QK.values())
    loss = F.info_nce(q, k, temperature=1.0, normalize=False, group=ring)
    return loss.detach(), list(torch.autograd.grad(loss, [q, k])), []
