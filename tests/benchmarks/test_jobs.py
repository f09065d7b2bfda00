"""The scoreboard's jobs and their floors against what is published of them."""

from pathlib import Path

import pytest

from benchmarks.scoreboard.jobs import JOBS, LLAMA, QWEN, QWEN_SMALL, Job, anyscale_lengths, nano_lengths, toy
from benchmarks.scoreboard.roofline import Ceilings, floor
from engine.config import ModelShape

H200_DATASHEET = Ceilings(bytes_per_s=4.8e12, flops_per_s=989e12)


def test_nano_lengths_are_those_of_its_own_bench() -> None:
    lengths = nano_lengths()
    assert sum(prompt for prompt, _ in lengths) == 142_827
    assert sum(output for _, output in lengths) == 133_966


def test_naive_lengths_have_the_mean_and_cap_that_were_published() -> None:
    outputs = [output for _, output in anyscale_lengths()]
    assert sum(outputs) / len(outputs) == pytest.approx(128, rel=0.1)
    assert 700 < max(outputs) <= 1536


@pytest.mark.parametrize(
    ("model", "lengths", "seconds"),
    [
        (QWEN, ((1024, 1024),) * 256, 19.6),
        (QWEN_SMALL, nano_lengths(), 3.3),
        (QWEN, nano_lengths(), 9.1),
    ],
    ids=["8B 256 x 1k+1k", "nano 0.6B", "nano 8B"],
)
def test_floors_on_the_datasheet_are_those_worked_out_by_hand(
    model: Path, lengths: tuple[tuple[int, int], ...], seconds: float
) -> None:
    shape = ModelShape.from_folder(model)
    assert floor(shape, lengths, H200_DATASHEET).total_s == pytest.approx(seconds, rel=0.03)


def test_a_floor_by_hand_and_kv_of_8_bits_halves_what_contexts_cost() -> None:
    """Two requests of Llama 8B: 7,504,658,432 weights a token beside the embedding, 131,072 bytes of KV a position."""
    shape = ModelShape.from_folder(LLAMA)
    whole = floor(shape, [(100, 3), (50, 1)], Ceilings(1e12, 1e15))
    assert whole.decode_attention_s == pytest.approx((101 + 102) * 131_072 / 1e12)
    assert whole.decode_matmul_s == pytest.approx(2 * 2 * 7_504_658_432 / 1e12)
    assert whole.prefill_s == pytest.approx(2 * 6_979_321_856 * 150 / 1e15, rel=0.03)
    eight_bits = floor(shape, [(100, 3), (50, 1)], Ceilings(1e12, 1e15), kv_bytes=1)
    assert eight_bits.decode_attention_s == whole.decode_attention_s / 2


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_jobs_travel_to_another_process_and_shrink(job: Job, tmp_path: Path) -> None:
    assert job.longest <= ModelShape.from_folder(job.model).max_position
    job.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == job
    small = toy(job, tmp_path)
    shape = ModelShape.from_folder(small.model)
    assert shape.family == ModelShape.from_folder(job.model).family
    assert shape.weight_values < 200_000
    prompts = small.prompts()
    assert [len(prompt) for prompt in prompts] == [prompt for prompt, _ in small.lengths]
    assert prompts == small.prompts()
    assert prompts != small.prompts(seed=1)
    assert max(map(max, prompts)) < shape.vocab


def test_warming_up_takes_the_longest_prompts_and_short_outputs() -> None:
    warm_up = JOBS[0].warm_up()
    assert len(warm_up.lengths) == 32
    assert min(prompt for prompt, _ in warm_up.lengths) > 900
    assert max(output for _, output in warm_up.lengths) == 32
