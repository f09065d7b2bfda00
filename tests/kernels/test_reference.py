"""The reference operations against definitions written another way."""

import math

import pytest
import torch
from torch import Tensor

from kernels import reference
from kernels.reference import SamplingRows


def naive_attention(query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """One query head `[D]` over `[L, D]`, in float64."""
    scores = (keys.double() @ query.double()) * scale
    return scores.softmax(0) @ values.double()


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("window", [None, 5])
def test_paged_attention_of_decodes_and_chunks(group: int, window: int | None) -> None:
    """Odd lengths around the block size; the pool is full of NaN wherever nothing was written."""
    torch.manual_seed(0)
    kv_heads, size, dim, scale = 2, 4, 8, 0.3
    lengths = [1, 3, 4, 5, 17]
    caches = torch.full((1, 2, 40, kv_heads, size, dim), math.nan)
    tables = [[n * 5 + i + 1 for i in range(-(-length // size))] for n, length in enumerate(lengths)]
    reference.clear_blocks(caches, torch.tensor([0] + [block for table in tables for block in table]))
    keys_values = [torch.randn(length, 2, kv_heads, dim) for length in lengths]
    for table, kv in zip(tables, keys_values, strict=True):
        for position, pair in enumerate(kv):
            caches[0, :, table[position // size], :, position % size] = pair
    queries = torch.randn(len(lengths) + 6, kv_heads * group, dim)
    out = torch.empty_like(queries)
    padded = torch.tensor([table + [0] * (5 - len(table)) for table in tables])
    groups = [
        reference.decode_group(
            first, padded[first:last], torch.tensor(lengths[first:last]), size, window, torch.float32
        )
        for first, last in ((0, 3), (3, 5))
    ]
    reference.decode_attention(queries, caches[0], groups, scale, out)
    chunk = reference.prompt_chunk(5, torch.tensor(tables[4]), 11, 6, window, torch.float32)
    reference.prefill_attention(queries, caches[0], [chunk], scale, out)

    seen = [(n, length) for n, length in enumerate(lengths)] + [(4, 12 + i) for i in range(6)]
    for row, (sequence, length) in enumerate(seen):
        first = 0 if window is None else max(0, length - window)
        for head in range(kv_heads * group):
            kv = keys_values[sequence][first:length, :, head // group]
            expected = naive_attention(queries[row, head], kv[:, 0], kv[:, 1], scale)
            torch.testing.assert_close(out[row, head].double(), expected, rtol=1e-5, atol=1e-6)


def test_capped_attention_squashes_scores_before_they_are_masked() -> None:
    torch.manual_seed(0)
    cache = torch.randn(2, 3, 1, 4, 8)
    queries = torch.randn(5, 2, 8) * 4
    out = torch.empty_like(queries)
    group = reference.decode_group(0, torch.tensor([[1, 2]]), torch.tensor([6]), 4, None, torch.float32)
    chunk = reference.prompt_chunk(1, torch.tensor([1, 2]), 0, 4, None, torch.float32)
    reference.decode_attention(queries, cache, [group], 0.5, out, cap=3.0)
    reference.prefill_attention(queries, cache, [chunk], 0.5, out, cap=3.0)
    keys, values = (cache[side, 1:3, 0].flatten(0, 1).double() for side in (0, 1))
    for row, length in enumerate([6, 1, 2, 3, 4]):
        for head in range(2):
            scores = 3.0 * torch.tanh(keys[:length] @ queries[row, head].double() * 0.5 / 3.0)
            expected = scores.softmax(0) @ values[:length]
            torch.testing.assert_close(out[row, head].double(), expected, rtol=1e-5, atol=1e-6)


def test_gelu_is_the_tanh_approximation() -> None:
    gate, up = torch.linspace(-4, 4, 101), torch.linspace(1, 2, 101)
    cubic = math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)
    expected = 0.5 * gate * (1 + torch.tanh(cubic)) * up
    torch.testing.assert_close(reference.gelu_tanh_mul(torch.cat([gate, up])[None])[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("tokens", [1, 9])
def test_experts_sum_what_each_chosen_one_makes_of_a_token(tokens: int, normalized: bool) -> None:
    torch.manual_seed(0)
    count, hidden, inner, per_token = 5, 6, 4, 2
    x, logits = torch.randn(tokens, hidden), torch.randn(tokens, count) * 2
    gate_up, down = torch.randn(count, 2 * inner, hidden), torch.randn(count, hidden, inner)
    shares, chosen = reference.route(logits, per_token, normalized)
    made = reference.experts(x, shares, chosen, gate_up, down, reference.silu_mul)
    for row in range(tokens):
        probabilities = logits[row].double().softmax(0)
        best = probabilities.argsort(descending=True)[:per_token]
        total = float(probabilities[best].sum()) if normalized else 1.0
        expected = torch.zeros(hidden, dtype=torch.float64)
        for expert in best:
            gate, up = (gate_up[expert].double() @ x[row].double()).chunk(2)
            expected += probabilities[expert] / total * (down[expert].double() @ (gate * gate.sigmoid() * up))
        torch.testing.assert_close(made[row].double(), expected, rtol=1e-4, atol=1e-5)


def rows(count: int, **fields: float) -> SamplingRows:
    values = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 3, "position": 9} | fields
    kinds = dict.fromkeys(("temperature", "top_p"), torch.float32)
    tensors = {name: torch.full((count,), value, dtype=kinds.get(name, torch.int64)) for name, value in values.items()}
    return SamplingRows(**tensors)


def test_draws_follow_the_tempered_distribution() -> None:
    draws = 20_000
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).expand(draws, 4)
    parameters = rows(draws, temperature=0.7)
    parameters.seed.copy_(torch.arange(draws))
    counts = torch.bincount(reference.sample(logits, parameters), minlength=4)
    expected = (logits[0] / 0.7).softmax(0)
    assert torch.all((counts / draws - expected).abs() < 4 * (expected * (1 - expected) / draws).sqrt())


@pytest.mark.parametrize(
    ("fields", "kept"),
    [({"top_k": 2}, {1, 3}), ({"top_p": 0.6}, {1, 3}), ({"top_p": 0.3}, {3})],
)
def test_top_k_and_top_p_keep_the_likeliest(fields: dict[str, float], kept: set[int]) -> None:
    draws = 2000
    logits = torch.tensor([0.1, 0.25, 0.15, 0.5]).log().expand(draws, 4)
    parameters = rows(draws, **fields)
    parameters.seed.copy_(torch.arange(draws))
    assert set(reference.sample(logits, parameters).tolist()) == kept


def test_an_unlikely_token_is_not_drawn_by_the_largest_of_hashes() -> None:
    """Token 19400 of seed 505 has the 24 highest bits set, which as a number rounds to 1, and -log(-log(1)) is inf."""
    seed, position = torch.tensor([505]), torch.tensor([0])
    assert float(reference.hashed_uniform(seed, position, 19401)[0, 19400]) < 1
    logits = torch.zeros(1, 19401)
    logits[0, 19400] = -40
    parameters = rows(1, position=0)
    parameters.seed.copy_(seed)
    assert int(reference.sample(logits, parameters)) != 19400


def test_edits_leave_the_logits_they_came_from_alone() -> None:
    logits = torch.tensor([[1.0, -1.0, 2.0, 0.5]] * 3)
    none, never = torch.tensor([], dtype=torch.int64), -math.inf
    real = none.float()
    edits = reference.LogitEdits(
        bias=(torch.tensor([0, 0]), torch.tensor([2, 2]), torch.tensor([1.0, 1.0])),
        penalties=(torch.tensor([0, 0]), torch.tensor([0, 1]), torch.tensor([2.0, 2.0]), torch.tensor([0.25, 0.0])),
        forbidden=(torch.tensor([0]), torch.tensor([3])),
        masked=torch.tensor([1]),
        allowed=torch.tensor([[True, False, True, False]]),
        min_p=(torch.tensor([2]), torch.tensor([1.25])),
    )
    expected = torch.tensor([[0.25, -2.0, 4.0, never], [1.0, never, 2.0, never], [1.0, never, 2.0, never]])
    torch.testing.assert_close(reference.edit_logits(logits, edits), expected)
    assert logits[0].tolist() == [1.0, -1.0, 2.0, 0.5]
    nothing = reference.LogitEdits((none, none, real), (none, none, real, real), (none, none), none, None, (none, real))
    torch.testing.assert_close(reference.edit_logits(logits, nothing), logits)


def test_hashed_uniform_is_uniform_and_uncorrelated_between_neighbours() -> None:
    count = 4096
    seeds = torch.arange(64)
    noise = reference.hashed_uniform(seeds, torch.zeros_like(seeds), count).double()
    assert 0 < noise.min() < noise.max() < 1
    assert abs(float(noise.mean()) - 0.5) < 0.003
    assert abs(float(noise.var()) - 1 / 12) < 0.001
    correlations = torch.corrcoef(noise) - torch.eye(64)
    assert float(correlations.abs().max()) < 5 / math.sqrt(count)


def test_hashed_uniform_is_never_1() -> None:
    """1 would make a token's noise infinite and draw it whatever its score. This row holds the largest hash."""
    noise = reference.hashed_uniform(torch.tensor([0]), torch.tensor([33]), 13_513)
    assert 0.9999 < float(noise[0, -1]) < 1


def test_scores_that_tie_with_the_least_one_kept_are_kept() -> None:
    draws = 500
    logits = torch.tensor([0.0, 1.0, 2.0, 1.0]).expand(draws, 4)
    parameters = rows(draws, top_k=2)
    parameters.seed.copy_(torch.arange(draws))
    assert set(reference.sample(logits, parameters).tolist()) == {1, 2, 3}


def test_top_k_holds_when_the_kept_probabilities_do_not_add_up_to_1() -> None:
    """In float32 they rarely do, and a top_p of 1 must not bring the others back."""
    torch.manual_seed(0)
    logits = torch.randn(200, 1000)
    drawn = reference.sample(logits, rows(200, top_k=20))
    assert int((logits > logits.gather(1, drawn[:, None])).sum(dim=1).max()) < 20


@pytest.mark.parametrize("planes", [1, 2, 3])
def test_digits_are_off_by_no_more_than_documented(planes: int) -> None:
    x = torch.randn(7, 300) * torch.logspace(-4, 4, 7)[:, None]
    digits, units = reference.split_rows(x, planes)
    joined = torch.empty_like(x)
    reference.join_rows(digits.float(), units, None, joined)
    assert ((joined - x).abs().amax(dim=1) <= x.abs().amax(dim=1) * (254.0**-planes + 2.0**-22)).all()
