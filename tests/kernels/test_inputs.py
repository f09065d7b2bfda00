"""Inputs built on the device against the positions and slots that the tables say."""

import torch

from kernels.inputs import RequestRows, StepInputs, build_inputs, finish_step
from kernels.reference import SamplingRows

SIZE = 4
ROWS, WIDTH = 5, 600


def requests() -> RequestRows:
    return RequestRows(
        tables=torch.arange(1, ROWS * WIDTH + 1, dtype=torch.int32).view(ROWS, WIDTH),
        computed=torch.tensor([0, 7, 8, 3, 100], dtype=torch.int32),
        last_token=torch.tensor([90, 91, 92, 93, 94]),
        temperature=torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4]),
        top_k=torch.arange(5),
        top_p=torch.tensor([1.0, 0.9, 0.8, 0.7, 0.6]),
        seed=torch.arange(5) - (1 << 40),
    )


def inputs(tokens: int, chunks: int) -> StepInputs:
    def integers(count: int) -> torch.Tensor:
        return torch.full((count,), -7)

    sampling = SamplingRows(torch.zeros(chunks), integers(chunks), torch.zeros(chunks), *map(integers, [chunks] * 2))
    lengths = torch.zeros(chunks, dtype=torch.int32)
    return StepInputs(integers(tokens), integers(tokens), integers(tokens), lengths, integers(chunks), sampling)


def slot(row: int, position: int) -> int:
    return (row * WIDTH + position // SIZE + 1) * SIZE + position % SIZE


def test_decodes_prompt_chunks_and_padding_in_one_step() -> None:
    """A decode at a block's end and one at a block's start, a long chunk, a whole prompt, an idle row, padding."""
    held = requests()
    counts = [1, 1, 1500, 3, 0, 2]
    rows = torch.tensor([1, 2, 3, 0, 4, -1], dtype=torch.int32)
    first = torch.tensor([0, *counts]).cumsum(0).int()
    prompt = torch.cat([torch.tensor([-1, -1]), torch.arange(1503) + 1000, torch.tensor([5, 6])])
    built = inputs(int(first[-1]), len(rows))
    build_inputs(held, rows, first, prompt, SIZE, built)

    starts = {1: 7, 2: 8, 3: 3, 0: 0}
    positions = [starts[row] + i for row, count in zip((1, 2, 3, 0), counts, strict=False) for i in range(count)]
    owners = [row for row, count in zip((1, 2, 3, 0), counts, strict=False) for _ in range(count)]
    slots = [slot(row, position) for row, position in zip(owners, positions, strict=True)]
    assert built.tokens.tolist() == [91, 92, *range(1000, 2503), 0, 0]
    assert built.positions.tolist() == [*positions, 0, 0]
    assert built.slots.tolist() == [*slots, 0, 0]
    assert built.lengths.tolist() == [8, 9, 1503, 3, 100, 0]
    assert built.sampled.tolist() == [0, 1, 1501, 1504, 1504, 1506]
    assert built.sampling.position.tolist() == [7, 8, 1502, 2, 99, 0]
    assert built.sampling.seed.tolist() == [*held.seed[[1, 2, 3, 0, 4]].tolist(), 0]
    assert built.sampling.top_k.tolist() == [1, 2, 3, 0, 4, 0]
    torch.testing.assert_close(built.sampling.temperature, torch.tensor([0.1, 0.2, 0.3, 0.0, 0.4, 0.0]))
    torch.testing.assert_close(built.sampling.top_p, torch.tensor([0.9, 0.8, 0.7, 1.0, 0.6, 1.0]))


def test_a_step_follows_the_one_before_without_the_host() -> None:
    held = requests()
    rows = torch.tensor([2, -1, 4], dtype=torch.int32)
    first = torch.tensor([0, 1, 2, 3], dtype=torch.int32)
    unknown = torch.full((3,), -1)
    for step in range(3):
        built = inputs(3, 3)
        build_inputs(held, rows, first, unknown, SIZE, built)
        assert built.positions.tolist() == [8 + step, 0, 100 + step]
        assert built.tokens.tolist() == ([92, 0, 94] if step == 0 else [500 + step, 0, 600 + step])
        finish_step(held, rows, first, torch.tensor([501 + step, 13, 601 + step]))
    assert held.computed.tolist() == [0, 7, 11, 3, 103]
    assert held.last_token.tolist() == [90, 91, 503, 93, 603]
