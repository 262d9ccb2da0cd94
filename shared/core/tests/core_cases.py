"""Every loss with inputs to try it on and its definition written out by hand.

Adding a loss adds one entry to CASES: a shared test class runs them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from core_case import Case, every, fixed, labels_of, randn, two, unit
from core_cases_beyond import BEYOND
from torch import Tensor
from torch.nn.functional import cross_entropy

import nearfar.functional as F
from nearfar.targets import Factored, Listed, Teacher


def _info_nce(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
    q, k = map(unit, z)
    return every(cross_entropy(q @ k.T / t, torch.arange(len(q)), reduction="none"))


def _queue(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
    q, k, extra = map(unit, z)
    logits = torch.cat([q @ k.T, q @ extra.T], 1) / t
    return every(cross_entropy(logits, torch.arange(len(q)), reduction="none"))


def _symmetric(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
    logits = unit(z[0]) @ unit(z[1]).T / t
    own = torch.arange(len(logits))
    both = [cross_entropy(x, own, reduction="none") for x in (logits, logits.T)]
    return every((both[0] + both[1]) / 2)


def _nt_xent(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
    n = len(z[0])
    u = unit(torch.cat(list(z)))
    logits = (u @ u.T / t).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    return every(cross_entropy(logits, torch.arange(2 * n).roll(n), reduction="none"))


def _dcl(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
    n = len(z[0])
    u = unit(torch.cat(list(z)))
    rows = []
    for i in range(2 * n):
        p = (i + n) % (2 * n)
        rest = [(u[i] * u[j]).sum() / t for j in range(2 * n) if j not in (i, p)]
        loss = torch.stack(rest).logsumexp(0) - (u[i] * u[p]).sum() / t if rest else u.sum() * 0
        rows.append(loss)
    return torch.stack(rows), torch.full((2 * n,), n > 1)


def _sup_con(inside: bool, reference: bool) -> Callable[..., tuple[Tensor, Tensor]]:
    def oracle(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
        x = unit(z[0])
        y = unit(z[1]) if reference else x
        row, col = labels_of(len(x)), labels_of(len(y))
        losses, some = [], []
        for i in range(len(x)):
            others = [j for j in range(len(y)) if reference or j != i]
            near = [j for j in others if col[j] == row[i]]
            s = {j: (x[i] * y[j]).sum() / t for j in others}
            some.append(bool(near))
            if not near:
                losses.append(x.sum() * 0)
                continue
            a = torch.stack([s[j] for j in others]).logsumexp(0)
            p = torch.stack([s[j] for j in near])
            losses.append(a - (p.logsumexp(0) - math.log(len(near)) if inside else p.mean()))
        return torch.stack(losses), torch.tensor(some)

    return oracle


def _draw_soft(n: int, d: int, g: torch.Generator) -> list[Tensor]:
    return [randn(n, d, g=g), randn(n + 3, d, g=g)]


def _listed(n: int, m: int) -> Listed:
    index = torch.stack([(torch.arange(n) * s + 1) % m for s in (1, 2, 5)], 1)
    weight = torch.tensor([0.2, 0.3, 1.0]).repeat(n, 1)
    weight[-1] = 0  # a row without a target
    return Listed(index, weight)


def _soft(z: Sequence[Tensor], p: Tensor, t: float) -> tuple[Tensor, Tensor]:
    log_softmax = (unit(z[0]) @ unit(z[1]).T / t).log_softmax(1)
    total = p.sum(1)
    return -(p * log_softmax).sum(1) / total.where(total > 0, 1), total > 0


def _soft_listed(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
    n, m = len(z[0]), len(z[1])
    listed = _listed(n, m)
    p = torch.zeros(n, m, dtype=torch.float64)
    for i in range(n):
        for j, w in zip(listed.index[i], listed.weight[i], strict=True):
            p[i, j] += w
    return _soft(z, p, t)


def _teacher(n: int) -> Tensor:
    return fixed(n, 6, seed=5)


def _soft_cosine(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
    p = (unit(_teacher(len(z[0]))) @ unit(_teacher(len(z[1]))).T + 1) / 2
    return _soft(z, p, t)


def _soft_teacher(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
    p = (_teacher(len(z[0])) @ _teacher(len(z[1])).T / 1.5).softmax(1)
    return _soft(z, p, t)


def _draw_own(n: int, d: int, g: torch.Generator) -> list[Tensor]:
    return [*two(n, d, g), randn(n, 3, d, g=g)]


def _own_negatives(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
    q, k, own = map(unit, z)
    extra = torch.stack([q[i] @ own[i].T for i in range(len(q))])
    logits = torch.cat([q @ k.T, extra], 1) / t
    return every(cross_entropy(logits, torch.arange(len(q)), reduction="none"))


def _to_ignore(n: int) -> Tensor:
    """Two keys a row; some none, some twice the same."""
    numbers = torch.arange(n)
    return torch.stack([(numbers + 2) % n, torch.where(numbers % 3 == 0, -1, (numbers + 5) % n)], 1)


def _ignored(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
    q, k = map(unit, z)
    logits = q @ k.T / t
    for i, row in enumerate(_to_ignore(len(q)).tolist()):
        for j in row:
            if j not in (-1, i):  # the positive is one whatever the list says
                logits[i, j] = -torch.inf
    return every(cross_entropy(logits, torch.arange(len(q)), reduction="none"))


def _draw_views(n: int, d: int, g: torch.Generator) -> list[Tensor]:
    shapes = [(n, d), (2, n, d), (3, n, d), (2, n, d)]
    return [randn(*shape, g=g) for shape in shapes]


WEIGHTS = {
    "positive_weights": torch.tensor([1.0, 0.5], dtype=torch.float64),
    "own_weights": torch.tensor([0.3, 1.0, 0.6], dtype=torch.float64),
    "shared_weights": torch.tensor([1.0, 0.2], dtype=torch.float64),
}


def _multi_view(z: Sequence[Tensor], t: float) -> tuple[Tensor, Tensor]:
    x, near, own, shared = map(unit, z)
    w, v, u = (weight.log() for weight in WEIGHTS.values())
    losses = []
    for i in range(len(x)):
        p = [(x[i] * near[a, i]).sum() / t + w[a] for a in range(len(near))]
        r = [(x[i] * own[k, i]).sum() / t + v[k] for k in range(len(own))]
        r += [
            (x[i] * shared[k, j]).sum() / t + u[k]
            for k in range(len(shared))
            for j in range(len(x))
            if j != i
        ]
        losses.append(torch.stack(p + r).logsumexp(0) - torch.stack(p).logsumexp(0))
    return every(torch.stack(losses))


def _multi_view_loss(a: Tensor, p: Tensor, own: Tensor, shared: Tensor, **settings) -> Tensor:
    return F.multi_view_weighted(
        a, p, own_negatives=own, shared_negatives=shared, **WEIGHTS, **settings
    )


CASES = [
    Case("info_nce", two, F.info_nce, _info_nce),
    Case(
        "info_nce_queue",
        lambda n, d, g: [*two(n, d, g), randn(5, d, g=g)],
        lambda q, k, extra, **s: F.info_nce(q, k, negatives=extra, **s),
        _queue,
    ),
    Case(
        "info_nce_symmetric", two, lambda *z, **s: F.info_nce(*z, symmetric=True, **s), _symmetric
    ),
    Case(
        "clip",
        two,
        lambda *z, temperature, **s: F.clip(*z, logit_scale=1 / temperature, **s),
        _symmetric,
    ),
    Case("nt_xent", two, F.nt_xent, _nt_xent),
    Case("dcl", two, F.dcl, _dcl),
    Case(
        "sup_con_out",
        lambda n, d, g: [randn(n, d, g=g)],
        lambda z, **s: F.sup_con(z, labels_of(len(z)), **s),
        _sup_con(False, False),
        fewest=4,
    ),
    Case(
        "sup_con_in",
        lambda n, d, g: [randn(n, d, g=g)],
        lambda z, **s: F.sup_con(z, labels_of(len(z)), positives="in", **s),
        _sup_con(True, False),
        fewest=4,
    ),
    Case(
        "sup_con_reference",
        _draw_soft,
        lambda x, y, **s: F.sup_con(
            x, labels_of(len(x)), reference=y, reference_labels=labels_of(len(y)), **s
        ),
        _sup_con(False, True),
    ),
    Case(
        "sup_con_in_reference",
        _draw_soft,
        lambda x, y, **s: F.sup_con(
            x,
            labels_of(len(x)),
            reference=y,
            reference_labels=labels_of(len(y)),
            positives="in",
            **s,
        ),
        _sup_con(True, True),
    ),
    Case(
        "soft_listed",
        _draw_soft,
        lambda x, y, **s: F.soft_targets(x, y, _listed(len(x), len(y)), **s),
        _soft_listed,
    ),
    Case(
        "soft_cosine",
        _draw_soft,
        lambda x, y, **s: F.soft_targets(
            x, y, Factored.cosine(_teacher(len(x)), _teacher(len(y))), **s
        ),
        _soft_cosine,
    ),
    Case(
        "soft_teacher",
        _draw_soft,
        lambda x, y, **s: F.soft_targets(
            x, y, Teacher(_teacher(len(x)), _teacher(len(y)), 1.5), **s
        ),
        _soft_teacher,
    ),
    Case(
        "info_nce_own_negatives",
        _draw_own,
        lambda q, k, own, **s: F.info_nce(q, k, own_negatives=own, **s),
        _own_negatives,
    ),
    Case(
        "info_nce_ignored",
        two,
        lambda q, k, **s: F.info_nce(q, k, ignored=_to_ignore(len(q)), **s),
        _ignored,
    ),
    Case("multi_view_weighted", _draw_views, _multi_view_loss, _multi_view),
    *BEYOND,
]
