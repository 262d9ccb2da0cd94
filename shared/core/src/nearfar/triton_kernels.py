"""The two Triton kernels: a row of statistics, and an owner's gradient. Import only where needed.

Both give each program a block of rows of its own and pass over all columns: no atomics, the same
numbers every time. Products are summed, exponentials taken and gradients formed in float32,
whatever the inputs; offsets are 64-bit. Tails of tiles are masked, so that any N, M and D will do.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["owner_gradient", "row_statistic"]


@triton.jit
def _products(
    own_ptr, other_ptr, own, other, n_own, n_other, width,
    ROWS: tl.constexpr, COLS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """<own_i, other_j> of one tile: [ROWS, COLS] float32."""
    acc = tl.zeros((ROWS, COLS), tl.float32)
    own_row = own_ptr + own.to(tl.int64)[:, None] * width
    other_row = other_ptr + other.to(tl.int64)[None, :] * width
    for start in range(0, width, DEPTH):
        d = start + tl.arange(0, DEPTH)
        a = tl.load(own_row + d[None, :], (own < n_own)[:, None] & (d < width)[None, :], 0.0)
        b = tl.load(other_row + d[:, None], (other < n_other)[None, :] & (d < width)[:, None], 0.0)
        if UPCAST:
            a, b = a.to(tl.float32), b.to(tl.float32)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    return acc


@triton.jit
def _admitted(
    own_codes, other_codes, own, other, n_own, n_other,
    MATCHES: tl.constexpr, EQUAL: tl.constexpr,
):  # fmt: skip
    """Which pairs of one tile count. Bit k of EQUAL says what match k asks of its two codes."""
    admitted = (own < n_own)[:, None] & (other < n_other)[None, :]
    for k in tl.static_range(MATCHES):
        a = tl.load(own_codes + k * n_own + own, own < n_own, 0)
        b = tl.load(other_codes + k * n_other + other, other < n_other, 0)
        if (EQUAL >> k) & 1:
            admitted = admitted & (a[:, None] == b[None, :])
        else:
            admitted = admitted & (a[:, None] != b[None, :])
    return admitted


@triton.jit
def _softplus(s):
    return tl.maximum(s, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(s)))


# Sizes change from batch to batch; a size of 1 would be compiled anew, as a constant.
@triton.jit(do_not_specialize=["n_own", "n_other"])
def row_statistic(
    own_ptr, other_ptr, own_codes, other_codes, scale_ptr, bias_ptr, weight_ptr,
    value_ptr, lse_ptr, n_own, n_other, width,
    KIND: tl.constexpr, SCALE: tl.constexpr,
    HAS_BIAS: tl.constexpr, HAS_WEIGHT: tl.constexpr,
    MATCHES: tl.constexpr, EQUAL: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """One statistic of a block of rows. SCALE: "one" number, one an "own" row, one an "other"."""
    own = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    shift = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    first = tl.zeros((ROWS,), tl.float32)
    if SCALE == "own":
        k = tl.load(scale_ptr + own, own < n_own, 0.0)[:, None]
    elif SCALE == "one":
        k = tl.load(scale_ptr)
    for start in range(0, n_other, COLS):
        other = start + tl.arange(0, COLS)
        s = _products(own_ptr, other_ptr, own, other, n_own, n_other, width,
                      ROWS, COLS, DEPTH, PRECISION, UPCAST)  # fmt: skip
        if SCALE == "other":
            s = s * tl.load(scale_ptr + other, other < n_other, 0.0)[None, :]
        else:
            s = s * k
        if HAS_BIAS:
            s += tl.load(bias_ptr + other, other < n_other, 0.0)[None, :]
        admitted = _admitted(own_codes, other_codes, own, other, n_own, n_other, MATCHES, EQUAL)
        if KIND == "moment":
            total += tl.sum(tl.where(admitted, s, 0.0), 1)
        elif KIND == "softplus":
            total += tl.sum(tl.where(admitted, _softplus(s), 0.0), 1)
        elif KIND == "softminus":
            total += tl.sum(tl.where(admitted, _softplus(-s), 0.0), 1)
        else:
            logits = s
            if HAS_WEIGHT:
                logits += tl.load(weight_ptr + other, other < n_other, 0.0)[None, :]
            logits = tl.where(admitted, logits, float("-inf"))
            top = tl.maximum(shift, tl.max(logits, 1))
            # A row with no pair yet: exp(-inf - 0) is 0 where exp(-inf + inf) is NaN.
            finite = tl.where(top == float("-inf"), 0.0, top)
            old = tl.exp(shift - finite)
            e = tl.exp(logits - finite[:, None])
            total = total * old + tl.sum(e, 1)
            shift = top
            if KIND == "mean":
                first = first * old + tl.sum(tl.where(admitted, e * s, 0.0), 1)
    inside = own < n_own
    if KIND == "lse" or KIND == "mean":
        some = total > 0
        lse = tl.where(some, shift + tl.log(tl.where(some, total, 1.0)), float("-inf"))
        tl.store(lse_ptr + own, lse, inside)
        if KIND == "mean":
            tl.store(
                value_ptr + own, tl.where(some, first / tl.where(some, total, 1.0), 0.0), inside
            )
    else:
        tl.store(value_ptr + own, total, inside)


@triton.jit
def _share(s, logits, at, n, lse_ptr, value_ptr, upstream_ptr, KIND: tl.constexpr):  # fmt: skip
    """What a row's statistic asks of the scores of one tile; ``at`` are its rows, broadcast."""
    du = tl.load(upstream_ptr + at, at < n, 0.0)
    if KIND == "moment":
        return du + tl.zeros_like(s)
    if KIND == "softplus":
        return du * tl.sigmoid(s)
    if KIND == "softminus":
        return -du * tl.sigmoid(-s)
    p = tl.exp(logits - tl.load(lse_ptr + at, at < n, 0.0))
    if KIND == "mean":
        p = p * (1.0 + s - tl.load(value_ptr + at, at < n, 0.0))
    return du * p


@triton.jit(do_not_specialize=["n_own", "n_other"])
def owner_gradient(
    own_ptr, other_ptr, own_codes, other_codes, scale_ptr, bias_ptr, weight_ptr,
    own_lse, own_value, own_upstream, other_lse, other_value, other_upstream,
    near_ptr, shift_ptr, along_ptr, sum_ptr, n_own, n_other, width,
    KIND: tl.constexpr, SCALE: tl.constexpr,
    BIAS: tl.constexpr, WEIGHT: tl.constexpr, OWN: tl.constexpr, OTHER: tl.constexpr,
    WANTS_SUM: tl.constexpr, MATCHES: tl.constexpr, EQUAL: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr, DEPTH: tl.constexpr, WIDTH: tl.constexpr,
    PRECISION: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """``along_i = sum_j G_ij k_j other_j`` of a block of rows, WIDTH columns of it a program.

    G holds what the statistics of the own rows (OWN), of the others (OTHER), or of both ask of the
    score. ``k_j`` is there where the scale is one an "other"; a scale of the own rows, or one for
    all, is for the caller. BIAS and WEIGHT: "none", or the side that they belong to, "own" or
    "other". Of a log-sum-exp on both sides the values are ``upstream e^{shift - lse}``, so that one
    exponential e^{s - shift} serves both; that is in range where all log-sum-exps are ``near``.
    """
    own = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    d = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    acc = tl.zeros((ROWS, WIDTH), tl.float32)
    sums = tl.zeros((ROWS,), tl.float32)
    if SCALE == "own":
        k = tl.load(scale_ptr + own, own < n_own, 0.0)[:, None]
    elif SCALE == "one":
        k = tl.load(scale_ptr)
    near, shift = tl.load(near_ptr) != 0, tl.load(shift_ptr)
    for start in range(0, n_other, COLS):
        other = start + tl.arange(0, COLS)
        s = _products(own_ptr, other_ptr, own, other, n_own, n_other, width,
                      ROWS, COLS, DEPTH, PRECISION, UPCAST)  # fmt: skip
        if SCALE == "other":
            k = tl.load(scale_ptr + other, other < n_other, 0.0)[None, :]
        s = s * k
        if BIAS == "own":
            s += tl.load(bias_ptr + own, own < n_own, 0.0)[:, None]
        elif BIAS == "other":
            s += tl.load(bias_ptr + other, other < n_other, 0.0)[None, :]
        logits = s
        if WEIGHT == "own":
            logits += tl.load(weight_ptr + own, own < n_own, 0.0)[:, None]
        elif WEIGHT == "other":
            logits += tl.load(weight_ptr + other, other < n_other, 0.0)[None, :]
        if KIND == "lse" and OWN and OTHER and near:
            share = (
                tl.load(own_value + own, own < n_own, 0.0)[:, None]
                + (tl.load(other_value + other, other < n_other, 0.0)[None, :])
            )
            g = share * tl.exp(logits - shift)
        else:
            g = tl.zeros((ROWS, COLS), tl.float32)
            if OWN:
                g += _share(s, logits, own[:, None], n_own, own_lse, own_value, own_upstream, KIND)
            if OTHER:
                g += _share(s, logits, other[None, :], n_other, other_lse, other_value,
                            other_upstream, KIND)  # fmt: skip
        # Last, since a pair left out may have a score far over its row's normaliser: inf times 0.
        admitted = _admitted(own_codes, other_codes, own, other, n_own, n_other, MATCHES, EQUAL)
        g = tl.where(admitted, g, 0.0)
        if WANTS_SUM:
            sums += tl.sum(g, 1)
        if SCALE == "other":
            g = g * k
        b = tl.load(
            other_ptr + other.to(tl.int64)[:, None] * width + d[None, :],
            (other < n_other)[:, None] & (d < width)[None, :],
            0.0,
        )
        if UPCAST:
            b = b.to(tl.float32)
        acc = tl.dot(g.to(b.dtype), b, acc, input_precision=PRECISION)
    inside = (own < n_own)[:, None] & (d < width)[None, :]
    tl.store(along_ptr + own.to(tl.int64)[:, None] * width + d[None, :], acc, inside)
    if WANTS_SUM and tl.program_id(1) == 0:
        tl.store(sum_ptr + own, sums, own < n_own)
