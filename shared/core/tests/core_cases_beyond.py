"""Cases of the losses that go beyond InfoNCE, CLIP and SupCon."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from core_case import Case, every, fixed, labels_of, randn, two, unit, wide
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, logsigmoid

import nearfar.functional as F
from nearfar.targets import Listed

Rows = tuple[Tensor, Tensor]


def _one(n: int, d: int, g: torch.Generator) -> list[Tensor]:
    return [randn(n, d, g=g)]


def _siglip(z: Sequence[Tensor], t: float) -> Rows:
    logits = unit(z[0]) @ unit(z[1]).T / t - 0.7
    sign = 2 * torch.eye(len(logits), dtype=logits.dtype) - 1
    return every(-logsigmoid(sign * logits).sum(1))


def _bias(classes: int) -> Tensor:
    return torch.linspace(-1, 1, classes, dtype=torch.float64)


def _target(n: int, classes: int) -> Tensor:
    target = (torch.arange(n) * 5 + 1) % classes
    if n > 1:
        target[n // 2] = -100
    return target


def _linear(smoothing: float):
    def oracle(z: Sequence[Tensor], t: float) -> Rows:
        logits = z[0] @ z[1].T / t + _bias(len(z[1]))
        target = _target(len(z[0]), len(z[1]))
        rows = cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
        return rows, target >= 0

    return oracle


def _linear_loss(smoothing: float):
    def loss(hidden: Tensor, weight: Tensor, *, temperature, normalize=False, **settings) -> Tensor:
        target = _target(len(hidden), len(weight))
        return F.linear_cross_entropy(
            hidden.to(wide(hidden.dtype)) / temperature, weight, target,
            bias=_bias(len(weight)).to(wide(hidden.dtype)), label_smoothing=smoothing, **settings,
        )  # fmt: skip

    return loss


def _positives(n: int, m: int) -> Tensor:
    """Three classes a row, the last row's none."""
    index = torch.stack([(torch.arange(n) + s) % m for s in (0, 1, 2)], 1)
    index[1::2, 2] = -1
    index[-1] = -1
    return index


def _linear_binary(z: Sequence[Tensor], t: float) -> Rows:
    logits = z[0] @ z[1].T / t + _bias(len(z[1]))
    wanted = torch.zeros_like(logits)
    for row, own in enumerate(_positives(*logits.shape).tolist()):
        for j in own:
            if j >= 0:
                wanted[row, j] = 1
    return every(binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(1))


def _linear_binary_loss(
    hidden: Tensor, weight: Tensor, *, temperature, normalize=False, **settings
) -> Tensor:
    return F.linear_binary_cross_entropy(
        hidden.to(wide(hidden.dtype)) / temperature, weight, _positives(len(hidden), len(weight)),
        bias=_bias(len(weight)).to(wide(hidden.dtype)), **settings,
    )  # fmt: skip


def _two_view_parts(z: Sequence[Tensor], t: float):
    """Scores of the positive [2N] and of the 2N - 2 negatives [2N, 2N - 2]."""
    n = len(z[0])
    u = unit(torch.cat(list(z)))
    s = u @ u.T / t
    rows = torch.arange(2 * n)
    negative = torch.stack([(rows != i) & (rows != (i + n) % (2 * n)) for i in range(2 * n)])
    return s[rows, rows.roll(-n)], s[negative].reshape(2 * n, 2 * n - 2)


def _dclw(z: Sequence[Tensor], t: float) -> Rows:
    n = len(z[0])
    s, negatives = _two_view_parts(z, t)
    w = 2 - n * ((unit(z[0]) * unit(z[1])).sum(1) / 0.5).softmax(0)
    r = negatives.logsumexp(1) if n > 1 else s * 0
    return (r - w.repeat(2) * s) * (n > 1), torch.full((2 * n,), n > 1)


def _hard(beta: float, tau: float):
    def oracle(z: Sequence[Tensor], t: float) -> Rows:
        s, negatives = _two_view_parts(z, t)
        m = negatives.shape[1]
        if m == 0:
            if tau == 0:
                return every(s * 0)
            bound = torch.full_like(s, -1 / t)
            return every(torch.logaddexp(s, bound) - s)
        log_weights = (beta * negatives).log_softmax(1)
        log_r = math.log(m) + (log_weights + negatives).logsumexp(1)
        if tau > 0:
            bound = torch.full_like(s, math.log(m) - 1 / t)
            false = math.log(m * tau) + s
            rest = log_r + torch.log1p(-(false - log_r).clamp(max=-1e-6).exp()) - math.log(1 - tau)
            log_r = torch.where((false < log_r) & (rest > bound), rest, bound)
        return every(torch.logaddexp(s, log_r) - s)

    return oracle


def _parts(n: int) -> Listed:
    index = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n], 1)
    weight = torch.tensor([1.4, 0.6], dtype=torch.float64).repeat(n, 1)
    weight[n // 2] = 0  # a row without a target
    return Listed(index, weight)


def _mi_mix(beta: float):
    def oracle(z: Sequence[Tensor], t: float) -> Rows:
        s, n = unit(z[0]) @ unit(z[1]).T / t, len(z[0])
        rows = []
        for i in range(n):
            log_all = s[i, i]
            if n > 1:
                negatives = torch.stack([s[i, j] for j in range(n) if j != i])
                log_weights = math.log(n - 1) + (beta * negatives).log_softmax(0)
                log_all = torch.logaddexp(log_all, (log_weights + negatives).logsumexp(0))
            rows.append(0.7 * (log_all - s[i, i]) + 0.3 * (log_all - s[i, (i + 1) % n]))
        counted = torch.arange(n) != n // 2
        return torch.stack(rows) * counted, counted

    return oracle


def _sub(n: int) -> Tensor:
    return torch.arange(n) % max(2, n // 2)


def _hierarchical(z: Sequence[Tensor], t: float) -> Rows:
    x, n = unit(z[0]), len(z[0])
    label = labels_of(n)
    sub = [(int(label[i]), int(_sub(n)[i])) for i in range(n)]
    losses, some = [], []
    for i in range(n):
        s = [(x[i] * x[j]).sum() / t for j in range(n)]
        total = x.sum() * 0
        near = [j for j in range(n) if j != i and sub[j] == sub[i]]
        if near:
            a = torch.stack([s[j] for j in range(n) if j != i]).logsumexp(0)
            total = total + a - torch.stack([s[j] for j in near]).mean()
        far = [j for j in range(n) if label[j] == label[i] and sub[j] != sub[i]]
        if far:
            a = torch.stack([s[j] for j in range(n) if sub[j] != sub[i]]).logsumexp(0)
            total = total + 0.25 * (a - torch.stack([s[j] for j in far]).mean())
        losses.append(total)
        some.append(bool(near or far))
    return torch.stack(losses), torch.tensor(some)


def _cacr(z: Sequence[Tensor], t: float) -> Rows:
    v, n = unit(z[0]), z[0].shape[1]
    losses = []
    for a, i in itertools.product(range(len(v)), range(n)):
        near = torch.stack([(v[a, i] - v[b, i]).square().sum() for b in range(len(v)) if b != a])
        loss = 1.5 * ((0.5 * near).softmax(0) * near).sum()
        far = [
            (v[a, i] - v[b, j]).square().sum()
            for b, j in itertools.product(range(len(v)), range(n))
            if j != i
        ]
        if far:
            d = torch.stack(far)
            loss = loss - 0.8 * ((-d / t).softmax(0) * d).sum()
        losses.append(loss)
    return every(torch.stack(losses))


def _cacr_loss(views: Tensor, *, temperature, **settings) -> Tensor:
    return F.cacr(
        views, attraction=0.5, repulsion=1 / temperature, attraction_weight=1.5,
        repulsion_weight=0.8, **settings,
    )  # fmt: skip


def _joint(z: Sequence[Tensor], t: float) -> Rows:
    c, s = unit(z[0]), z[1]
    d = (c[:, None] - c).square().sum(2) + (s[:, None] - s).square().sum(2)
    return every((-d / (2 * t)).logsumexp(1) - math.log(len(c)))


def _joint_loss(c: Tensor, s: Tensor, *, temperature, normalize=True, **settings) -> Tensor:
    return F.joint_entropy(c, s, temperature=temperature, normalize=(normalize, False), **settings)


def _alignment(z: Sequence[Tensor], t: float) -> Rows:
    return every((unit(z[0]) - unit(z[1])).norm(dim=1) ** 3)


def _alignment_loss(a: Tensor, b: Tensor, *, temperature, path=None, **settings) -> Tensor:
    return F.alignment(a, b, power=3.0, **settings)


def _rehearsal(n: int) -> Tensor:
    return torch.arange(n) % 3 < 2


def _teacher(x: Tensor) -> Tensor:
    scale = 1e3 if x.detach().abs().max() > 500 else 1.0  # of a test of large numbers
    return (fixed(*x.shape, seed=9) * scale).to(wide(x.dtype))


def _nspt(design: str):
    def oracle(z: Sequence[Tensor], t: float) -> Rows:
        x, y = unit(z[0]), unit(_teacher(z[0]))
        label, n = labels_of(len(x)), len(x)
        losses, some = [], []
        for k in torch.arange(n)[_rehearsal(n)].tolist():
            near = [j for j in range(n) if label[j] == label[k] and (design != "scl" or j != k)]
            far = [j for j in range(n) if label[j] != label[k]]
            some.append(bool(near))
            if not near:
                losses.append(x.sum() * 0)
                continue
            p = torch.stack([(x[k] * (x if design == "scl" else y)[j]).sum() / t for j in near])
            r = [(x[k] * (y if design == "ntpt" else x)[j]).sum() / t for j in far]
            losses.append(torch.stack([*p, *r]).logsumexp(0) - p.mean())
        return torch.stack(losses), torch.tensor(some)

    return oracle


def _nspt_loss(design: str):
    def loss(x: Tensor, **settings) -> Tensor:
        labels, rehearsal = labels_of(len(x)), _rehearsal(len(x))
        return F.nspt(x, _teacher(x), labels, rehearsal, design=design, **settings)

    return loss


def _symile_all(z: Sequence[Tensor], t: float) -> Rows:
    x, y, w = map(unit, z)
    n = len(x)
    s = torch.einsum("id,jd,kd->ijk", x, y, w) / t
    own = torch.arange(n)
    true = s[own, own, own]
    a = s.flatten(1).logsumexp(1)
    b = s.transpose(0, 1).flatten(1).logsumexp(1)
    c = s.permute(2, 0, 1).flatten(1).logsumexp(1)
    return every((a + b + c) / 3 - true)


def _symile_shuffled(z: Sequence[Tensor], t: float) -> Rows:
    rows = [unit(x) for x in z]
    n = len(rows[0])
    g = torch.Generator().manual_seed(3)
    total = torch.zeros(n, dtype=torch.float64)
    for m in range(3):
        others = [rows[k] for k in range(3) if k != m]
        y, w = (other[torch.randperm(n, generator=g)] for other in others)
        logits = rows[m] @ (y * w).T / t
        true = (rows[0] * rows[1] * rows[2]).sum(1) / t
        logits = torch.where(torch.eye(n, dtype=torch.bool), true[:, None], logits)
        total = total + logits.logsumexp(1) - true
    return every(total / 3)


def _symile_loss(negatives: str):
    def loss(x: Tensor, y: Tensor, w: Tensor, *, temperature, **settings) -> Tensor:
        g = torch.Generator().manual_seed(3)
        return F.symile(
            [x, y, w], logit_scale=1 / temperature, negatives=negatives, generator=g, **settings
        )

    return loss


def _three(n: int, d: int, g: torch.Generator) -> list[Tensor]:
    return [randn(n, d, g=g) for _ in range(3)]


def _centres(n: int, d: int, g: torch.Generator) -> list[Tensor]:
    return [randn(n, d, g=g), randn(5, d, g=g)]


PHI = torch.tensor([0.5, 1.0, 2.0, 0.7, 1.3], dtype=torch.float64)


def _proto(z: Sequence[Tensor], t: float) -> Rows:
    x, c = map(unit, z)
    return every(cross_entropy(x @ c.T / (PHI * t), torch.arange(len(x)) % 5, reduction="none"))


def _proto_loss(x: Tensor, c: Tensor, *, temperature, **settings) -> Tensor:
    phi = PHI.to(x.device, wide(x.dtype)) * temperature
    return F.proto_nce(x, c, torch.arange(len(x)) % 5, concentrations=phi, **settings)


def _near(n: int) -> Tensor:
    return torch.stack([torch.arange(n) % 5, (torch.arange(n) + 2) % 5], 1)


def _mlcd(z: Sequence[Tensor], t: float) -> Rows:
    x, c = map(unit, z)
    losses = []
    for i, near in enumerate(_near(len(x)).tolist()):
        s = x[i] @ c.T / t
        far = [s[j] for j in (0, 1, 3) if j not in near]
        p = torch.stack([x.sum() * 0, *(-s[j] for j in near)]).logsumexp(0)
        losses.append(p + torch.stack([x.sum() * 0, *far]).logsumexp(0))
    return every(torch.stack(losses))


def _mlcd_loss(x: Tensor, c: Tensor, **settings) -> Tensor:
    return F.mlcd(x, c, _near(len(x)), negatives=torch.tensor([0, 1, 3]), **settings)


def _log_sinkhorn(scores: Tensor, rounds: int = 3) -> Tensor:
    """In exact numbers, by the definition."""
    q = ((scores - scores.max()) / 0.5).exp()
    for _ in range(rounds):
        q = q / q.sum(0) / q.shape[1]
        q = q / q.sum(1, keepdim=True) / q.shape[0]
    return q * q.shape[0]


def _swav(z: Sequence[Tensor], t: float) -> Rows:
    a, b, c = map(unit, z)
    with torch.no_grad():
        q_a, q_b = (_log_sinkhorn(x @ c.T) for x in (a, b))
    log_a, log_b = ((x @ c.T / t).log_softmax(1) for x in (a, b))
    return every(-(q_b * log_a + q_a * log_b).sum(1) / 2)


def _numbers(n: int) -> Tensor:
    return torch.tensor([0.5, 2.0, 7.5], dtype=torch.float64)[torch.arange(n) % 3]


def _sup_remix(z: Sequence[Tensor], t: float) -> Rows:
    x, y = unit(z[0]), unit(torch.cat(list(z)))
    row, col = _numbers(len(x)), torch.cat([_numbers(len(x)), _numbers(len(z[1]))])
    losses, some = [], []
    for i in range(len(x)):
        others = [j for j in range(len(y)) if j != i]
        near = [j for j in others if col[j] == row[i]]
        some.append(bool(near))
        if not near:
            losses.append(x.sum() * 0)
            continue
        s = {j: (x[i] * y[j]).sum() / t for j in others}
        a = torch.stack([s[j] + math.log(abs(row[i] - col[j]) + 1) for j in others]).logsumexp(0)
        losses.append(a - torch.stack([s[j] for j in near]).mean())
    return torch.stack(losses), torch.tensor(some)


def _sup_remix_loss(x: Tensor, more: Tensor, **settings) -> Tensor:
    return F.sup_remix(
        x, _numbers(len(x)), reference=more, reference_labels=_numbers(len(more)), **settings
    )


def _clusters(n: int) -> Tensor:
    return torch.stack([torch.arange(n) % 2, torch.arange(n) % 3, torch.arange(n) // 2], 1)


def _meow(z: Sequence[Tensor], t: float) -> Rows:
    q, k = map(unit, z)
    code, n = _clusters(len(q)), len(q)
    losses = []
    for i in range(n):
        s = [(q[i] * k[j]).sum() / t for j in range(n)]
        apart = [int((code[i] != code[j]).sum()) for j in range(n)]
        rest = [s[j] + math.log(apart[j]) for j in range(n) if j != i and apart[j]]
        losses.append(torch.stack([s[i], *rest]).logsumexp(0) - s[i])
    return every(torch.stack(losses))


def _margin(over: str):
    def oracle(z: Sequence[Tensor], t: float) -> Rows:
        a, b = map(unit, z)
        n, u = len(a), torch.cat([a, b])
        if n == 1:
            return every((u * 0).sum(1))
        logits = u @ u.T / t
        near = torch.stack([logits[i, (i + n) % (2 * n)] for i in range(2 * n)])
        far = torch.stack(
            [logits[i, [j for j in range(2 * n) if j % n != i % n]] for i in range(2 * n)]
        )
        low = torch.minimum(near, far.max(1).values)
        high = torch.maximum(near, far.max(1).values)
        if over == "batch":
            low = torch.minimum(near.min(), far.max()).expand(2 * n)
            high = torch.maximum(near.max(), far.max()).expand(2 * n)
        return every((near - low).relu() + (high[:, None] - far).relu().mean(1))

    return oracle


def _margin_loss(over: str):
    def loss(a: Tensor, b: Tensor, *, normalize=True, **settings) -> Tensor:
        return F.contrastive_margin(a, b, over=over, normalize=normalize, **settings)

    return loss


def _drawn(classes: int) -> tuple[Tensor, Tensor]:
    """Classes drawn, one of them twice, and the logarithm of how likely each was."""
    drawn = (torch.arange(classes + 2) * 3) % classes
    share = torch.linspace(1, 2, classes, dtype=torch.float64)
    return drawn, (share / share.sum()).log()[drawn]


def _sampled(z: Sequence[Tensor], t: float) -> Rows:
    x, w = map(unit, z)
    target = _target(len(x), len(w)).clamp(min=0)
    drawn, log_q = _drawn(len(w))
    losses = []
    for i in range(len(x)):
        own = x[i] @ w[target[i]] / t
        rest = [
            x[i] @ w[c] / t - q - math.log(len(drawn))
            for c, q in zip(drawn, log_q, strict=True)
            if c != target[i]
        ]
        losses.append(torch.stack([own, *rest]).logsumexp(0) - own)
    return every(torch.stack(losses))


def _sampled_loss(x: Tensor, w: Tensor, *, normalize=True, **settings) -> Tensor:
    target = _target(len(x), len(w)).clamp(min=0)
    drawn, log_q = _drawn(len(w))
    return F.sampled_softmax(
        x, w[target], w[drawn], target, drawn, log_q=log_q.to(wide(x.dtype)), normalize=normalize,
        **settings,
    )  # fmt: skip


BEYOND = [
    Case("swav", lambda n, d, g: [*two(n, d, g), randn(5, d, g=g)],
         lambda *z, **s: F.swav(*(x for x in z[:2]), z[2], epsilon=0.5, **s), _swav, held=True),
    Case("sup_remix", lambda n, d, g: [randn(n, d, g=g), randn(4, d, g=g)], _sup_remix_loss,
         _sup_remix),
    Case("meow", two, lambda q, k, **s: F.meow(q, k, _clusters(len(q)), **s), _meow),
    Case(
        "siglip", two,
        lambda *z, temperature, **s: F.siglip(
            *z, logit_scale=1 / temperature, logit_bias=-0.7, **s
        ),
        _siglip,
    ),
    Case("linear_cross_entropy", lambda n, d, g: [randn(n, d, g=g), randn(n + 4, d, g=g)],
         _linear_loss(0.0), _linear(0.0)),
    Case("linear_cross_entropy_smooth", lambda n, d, g: [randn(n, d, g=g), randn(3, d, g=g)],
         _linear_loss(0.2), _linear(0.2)),
    Case("linear_binary_cross_entropy", lambda n, d, g: [randn(n, d, g=g), randn(n + 4, d, g=g)],
         _linear_binary_loss, _linear_binary),
    Case("sampled_softmax", lambda n, d, g: [randn(n, d, g=g), randn(n + 4, d, g=g)],
         _sampled_loss, _sampled),
    *(Case(f"contrastive_margin_{over}", two, _margin_loss(over), _margin(over))
      for over in ("row", "batch")),
    Case("dclw", two, F.dclw, _dclw),
    Case("hard_negative", two, lambda *z, **s: F.hard_negative(*z, beta=1.5, tau_plus=0.1, **s),
         _hard(1.5, 0.1)),
    Case("debiased", two, lambda *z, **s: F.hard_negative(*z, beta=0.0, tau_plus=0.2, **s),
         _hard(0.0, 0.2)),
    Case("weighted_simclr", two, lambda *z, **s: F.hard_negative(*z, beta=1.0, tau_plus=0.0, **s),
         _hard(1.0, 0.0)),
    *(Case(f"mi_mix_{beta}", two,
           lambda q, k, b=beta, **s: F.mi_mix(q, k, _parts(len(q)), beta=b, **s), _mi_mix(beta))
      for beta in (0.0, 1.0)),
    Case("hierarchical_sup_con", _one,
         lambda z, **s: F.hierarchical_sup_con(z, labels_of(len(z)), _sub(len(z)), **s),
         _hierarchical, fewest=4),
    Case("cacr", lambda n, d, g: [randn(3, n, d, g=g)], _cacr_loss, _cacr),
    Case("joint_entropy", two, _joint_loss, _joint),
    Case("alignment", two, _alignment_loss, _alignment),
    *(Case(f"nspt_{design}", _one, _nspt_loss(design), _nspt(design))
      for design in ("nspt", "scl", "ntpt")),
    Case("symile_all", _three, _symile_loss("all"), _symile_all),
    Case("symile_shuffled", _three, _symile_loss("shuffled"), _symile_shuffled),
    Case("proto_nce", _centres, _proto_loss, _proto),
    Case("mlcd", _centres, _mlcd_loss, _mlcd),
]  # fmt: skip
