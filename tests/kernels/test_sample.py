"""The sampler against the reference: the same seeds must draw the same tokens."""

import pytest
import torch

from kernels import reference, sample
from kernels.reference import SamplingRows

VOCABULARY = 1500  # more than one tile, and no multiple of it


def rows(count: int, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> SamplingRows:
    return SamplingRows(
        temperature=torch.full((count,), temperature),
        top_k=torch.full((count,), top_k),
        top_p=torch.full((count,), top_p),
        seed=torch.arange(count) * 0x1234567 - (1 << 40),
        position=torch.arange(count) * 7919,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, 0, 1.0), (0.7, 0, 1.0), (1.0, 1, 1.0), (1.3, 20, 1.0), (1.0, 0, 0.8), (2.0, 50, 0.5), (0.6, 9999, 0.01)],
)
def test_draws_equal_the_reference(temperature: float, top_k: int, top_p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(top_k)
    logits = (3 * torch.randn(6, VOCABULARY)).to(dtype)
    parameters = rows(6, temperature, top_k, top_p)
    assert torch.equal(sample.sample(logits, parameters), reference.sample(logits, parameters))


def test_rows_with_parameters_of_their_own() -> None:
    logits = 3 * torch.randn(4, VOCABULARY)
    parameters = rows(4)
    parameters.temperature[1] = 0
    parameters.top_k[2] = 5
    parameters.top_p[3] = 0.3
    drawn = sample.sample(logits, parameters)
    assert torch.equal(drawn, reference.sample(logits, parameters))
    assert drawn[1] == logits[1].argmax()


def test_greedy_takes_the_lowest_of_equals() -> None:
    logits = torch.zeros(2, VOCABULARY)
    logits[1, 1100] = logits[1, 1400] = 2.0
    assert sample.sample(logits, None).tolist() == [0, 1100]


def test_ties_at_the_threshold_are_kept_as_in_the_reference() -> None:
    """Logits in steps of a half tie everywhere, negative ones and zeros among them."""
    logits = (torch.randn(6, VOCABULARY) * 2).round() / 2
    parameters = rows(6, 1.0, 7, 0.9)
    assert torch.equal(sample.sample(logits, parameters), reference.sample(logits, parameters))


def test_logits_of_minus_infinity_are_never_drawn() -> None:
    logits = torch.full((3, VOCABULARY), float("-inf"))
    logits[:, 1200:1203] = torch.tensor([1.0, 2.0, 3.0])
    drawn = sample.sample(logits, rows(3, 1.0, 5, 0.95))
    assert set(drawn.tolist()) <= {1200, 1201, 1202}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_logprobs_equal_the_reference(dtype: torch.dtype) -> None:
    logits = torch.stack([torch.randperm(VOCABULARY) for _ in range(3)]).to(dtype) / 64  # exact, so that none tie
    tokens = torch.tensor([0, 1499, 700])
    for got, want in zip(
        sample.logprobs(logits.float(), tokens, 5), reference.logprobs(logits.float(), tokens, 5), strict=True
    ):
        torch.testing.assert_close(got, want)
    chosen, ids, top = sample.logprobs(logits, tokens, 0)
    torch.testing.assert_close(chosen, reference.logprobs(logits, tokens, 0)[0])
    assert ids.shape == top.shape == (3, 0)
