"""A mixture of experts: choosing experts for each token, and multiplying each expert's tokens in one launch.

Nothing depends on how many tokens an expert gets but what its programs read on the device.
"""

from collections.abc import Callable

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import ragged, tuning
from kernels.tuning import LinearLaunch


def route(logits: Tensor, per_token: int, normalized: bool) -> tuple[Tensor, Tensor]:
    """The `per_token` likeliest experts of each token, from router `logits [T, E]` of any float dtype.

    Returns float32 shares and int64 ids, both `[T, per_token]`, likeliest first, of equals the lower id. Shares are
    probabilities among all experts, or among the chosen ones if `normalized`.
    """
    tokens, experts = logits.shape
    shares = torch.empty((tokens, per_token), dtype=torch.float32, device=logits.device)
    chosen = torch.empty((tokens, per_token), dtype=torch.int64, device=logits.device)
    _route[(tokens,)](
        logits,
        shares,
        chosen,
        logits.stride(0),
        EXPERTS=experts,
        PER_TOKEN=per_token,
        NORMALIZED=normalized,
        TILE=triton.next_power_of_2(experts),
        SLOTS=triton.next_power_of_2(per_token),
        num_warps=1,
    )
    return shares, chosen


def experts(
    x: Tensor,
    shares: Tensor,
    chosen: Tensor,
    gate_up: Tensor,
    down: Tensor,
    activation: Callable[[Tensor], Tensor],
    scales: tuple[Tensor, Tensor] | None = None,
    launch: LinearLaunch | None = None,
) -> Tensor:
    """Each token through its chosen experts, summed by shares; returns `[T, N]` of x's dtype.

    Args:
        x: `[T, N]`, rows contiguous; float32, float16 or bfloat16.
        shares, chosen: `[T, k]`, as `route` returns them.
        gate_up: `[E, 2I, N]` contiguous; of x's dtype, int8 or float8_e4m3fn.
        down: `[E, N, I]` contiguous, of gate_up's dtype.
        activation: from `[T * k, 2I]` to `[T * k, I]`, such as `kernels.mlp.silu_mul`.
        scales: float32 `[E, 2I]` and `[E, N]`, a scale an output of the two, for weights in 8 bits.
        launch: for tests and tuning; None takes the table's.
    """
    of_gate_up, of_down = scales or (None, None)
    per_token = chosen.shape[1]
    pairs = chosen.flatten()  # pair i is token i // k with its (i % k)-th expert
    chosen_launch = launch or tuning.experts(tuning.device_of(x.device), len(pairs), len(gate_up))
    sorted_experts, order = pairs.sort(stable=True)
    first = torch.searchsorted(sorted_experts, torch.arange(len(gate_up) + 1, device=x.device), out_int32=True)
    hidden = activation(_grouped_linear(x, gate_up, of_gate_up, first, order // per_token, None, None, chosen_launch))
    weighted = _grouped_linear(hidden, down, of_down, first, None, order, shares, chosen_launch)
    return weighted.view(*chosen.shape, -1).sum(dim=1)


def _grouped_linear(
    x: Tensor,
    weight: Tensor,
    scales: Tensor | None,
    first: Tensor,
    sources: Tensor | None,
    targets: Tensor | None,
    shares: Tensor | None,
    launch: LinearLaunch,
) -> Tensor:
    """`x[sources] @ weight[e].T` for rows `first[e] .. first[e + 1]` of each expert e, written to rows `targets`.

    `weight [E, out, in]`, where `scales [E, out]` are given in 8 bits; no `sources` or `targets` stands for the same
    row. `shares`, where given, multiply the rows they are written to.
    """
    rows = len(x) if sources is None else len(sources)
    count, size_out, size_in = weight.shape
    out = torch.empty((rows, size_out), dtype=x.dtype, device=x.device)
    _grouped_kernel[(ragged.programs_for(rows, count, launch.rows), triton.cdiv(size_out, launch.columns))](
        x,
        weight,
        scales,
        out,
        first,
        count,
        sources,
        targets,
        shares,
        x.stride(0),
        SIZE_IN=size_in,
        SIZE_OUT=size_out,
        ROWS=launch.rows,
        COLUMNS=launch.columns,
        DEPTH=launch.depth,
        num_warps=launch.warps,
        num_stages=launch.stages,
    )
    return out


@triton.jit
def _route(
    logits,
    shares,
    chosen,
    stride,
    EXPERTS: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    NORMALIZED: tl.constexpr,
    TILE: tl.constexpr,
    SLOTS: tl.constexpr,
):
    """One token."""
    token = tl.program_id(0).to(tl.int64)
    ids = tl.arange(0, TILE)
    scores = tl.load(logits + token * stride + ids, mask=ids < EXPERTS, other=float("-inf")).to(tl.float32)
    likelihoods = tl.exp(scores - tl.max(scores, 0))
    total = tl.sum(likelihoods, 0)
    slots = tl.arange(0, SLOTS)
    best = tl.zeros([SLOTS], tl.float32)
    best_ids = tl.zeros([SLOTS], tl.int32)
    for slot in range(PER_TOKEN):
        value, place = tl.max(likelihoods, 0, return_indices=True)
        best = tl.where(slots == slot, value, best)
        best_ids = tl.where(slots == slot, place, best_ids)
        likelihoods = tl.where(ids == place, -1.0, likelihoods)
    if NORMALIZED:
        total = tl.sum(best, 0)
    real = slots < PER_TOKEN
    tl.store(shares + token * PER_TOKEN + slots, best / total, mask=real)
    tl.store(chosen + token * PER_TOKEN + slots, best_ids.to(tl.int64), mask=real)


@triton.jit
def _grouped_kernel(
    x,
    weight,
    scales,
    out,
    first,
    count,
    sources,
    targets,
    shares,
    x_stride,
    SIZE_IN: tl.constexpr,
    SIZE_OUT: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """ROWS of one expert's tokens times COLUMNS of its outputs."""
    expert, part = ragged.find(first, count, tl.program_id(0), ROWS)
    rows = tl.load(first + expert) + part * ROWS + tl.arange(0, ROWS)
    end = tl.load(first + expert + 1)
    if tl.load(first + expert) + part * ROWS >= end:
        return
    real = rows < end
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    source = rows.to(tl.int64)
    if sources is not None:
        source = tl.load(sources + rows, mask=real, other=0)
    from_row = x + source[:, None] * x_stride
    from_column = weight + (expert.to(tl.int64) * SIZE_OUT + columns[None, :]) * SIZE_IN
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for begin in range(0, SIZE_IN, DEPTH):
        depth = begin + tl.arange(0, DEPTH)
        inside = depth < SIZE_IN
        a = tl.load(from_row + depth[None, :], mask=real[:, None] & inside[None, :], other=0.0)
        b = tl.load(from_column + depth[:, None], mask=inside[:, None] & (columns < SIZE_OUT)[None, :], other=0.0)
        total = tl.dot(a, b.to(a.dtype), total, input_precision="ieee")
    if scales is not None:
        total *= tl.load(scales + expert.to(tl.int64) * SIZE_OUT + columns, mask=columns < SIZE_OUT, other=0.0)[None, :]
    target = rows.to(tl.int64)
    if targets is not None:
        target = tl.load(targets + rows, mask=real, other=0)
    if shares is not None:
        total *= tl.load(shares + target, mask=real, other=0.0)[:, None]
    to = out + target[:, None] * SIZE_OUT + columns[None, :]
    tl.store(to, total.to(out.dtype.element_ty), mask=real[:, None] & (columns < SIZE_OUT)[None, :])
