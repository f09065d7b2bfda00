"""Tokens of the GPU's runner equal those of transformers and of the CPU's runner, however the work is cut up."""

import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.config import EngineOptions
from engine.engine import Engine
from engine.request import Request, SamplingParams
from tests.engine.cuda.conftest import CONFIGS, start
from tests.engine.test_equality import oracle

LENGTH = 6
GREEDY = SamplingParams(max_tokens=LENGTH)
WAYS: dict[str, dict[str, Any]] = {
    "captured": {"token_budget": 8, "max_batch": 3},
    "kernel by kernel": {"graphs": False},
    "read before the next": {"graphs": False, "overlap": False},
    "budget 5": {"token_budget": 5, "max_batch": 3, "graphs": False},
    "preempted": {"num_blocks": 4, "max_batch": 2, "graphs": False},
    "alone, prefix hits": {"max_batch": 1, "graphs": False},
}


@cache
def prompts() -> tuple[tuple[int, ...], ...]:
    """Four, the last two behind a prefix of a block; all cross a block's end."""
    chance = random.Random(3)
    shared = [chance.randrange(2, 96) for _ in range(9)]
    return tuple(
        tuple(prefix + [chance.randrange(2, 96) for _ in range(length)])
        for prefix, length in (([], 5), ([], 6), (shared, 1), (shared, 2))
    )


def run(engine: Engine) -> list[Request]:
    requests = [engine.add(list(prompt), GREEDY) for prompt in prompts()]
    for _ in engine.run():
        engine.scheduler.check()
    assert engine.scheduler.pool.available == engine.scheduler.pool.capacity
    return requests


@pytest.mark.parametrize("way", WAYS)
def test_however_it_is_cut_up(models: dict[str, Path], way: str) -> None:
    engine = start(models["llama"], **WAYS[way])
    requests = run(engine)
    assert [request.output for request in requests] == oracle(models["llama"], prompts(), LENGTH)
    assert engine.config.device == "cuda"
    assert engine.config.overlap == (way != "read before the next")
    assert bool(engine.config.graphs) == WAYS[way].get("graphs", True)
    assert (engine.scheduler.preemptions > 0) == (way == "preempted")
    if way == "alone, prefix hits":
        assert requests[3].cached_tokens == 8


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "llama"])
def test_every_kind_of_layer(models: dict[str, Path], name: str) -> None:
    """Decodes and prompt chunks side by side, in captured steps where there are any that fit."""
    requests = run(start(models[name], token_budget=8, max_batch=3))
    assert [request.output for request in requests] == oracle(models[name], prompts(), LENGTH)


def test_cancelling_a_neighbour_changes_nothing(models: dict[str, Path]) -> None:
    """Its row is taken by the next request while its last step is still unread."""
    engine = start(models["llama"], max_batch=2)
    doomed = engine.add([5, 6, 7], SamplingParams(max_tokens=60, ignore_eos=True))
    kept = [engine.add(list(prompt), GREEDY) for prompt in prompts()]
    for _ in range(3):
        engine.step()
    engine.cancel(doomed)
    for _ in engine.run():
        engine.scheduler.check()
    assert [request.output for request in kept] == oracle(models["llama"], prompts(), LENGTH)


@pytest.mark.parametrize("overlap", [False, True])
def test_all_that_can_be_asked_of_a_draw_equals_the_cpu(models: dict[str, Path], overlap: bool) -> None:
    """Filtered draws, edited logits and scores, in one batch; and the draws of the others do not change by it."""
    asked = [
        SamplingParams(max_tokens=5, temperature=0.9, top_k=20, top_p=0.9, seed=7, ignore_eos=True),
        SamplingParams(max_tokens=5, temperature=1.2, min_p=0.05, seed=8, logprobs=2, ignore_eos=True),
        SamplingParams(max_tokens=5, logit_bias={3: 4.0}, min_tokens=3, prompt_logprobs=1, stop_token_ids=(3,)),
        SamplingParams(max_tokens=5, repetition_penalty=1.4, frequency_penalty=0.5, logprobs=0, ignore_eos=True),
    ]

    def answers(engine: Engine, params: list[SamplingParams]) -> list[Request]:
        requests = [engine.add(list(prompt), each) for prompt, each in zip(prompts(), params, strict=True)]
        for _ in engine.run():
            engine.scheduler.check()
        return requests

    drawn = answers(start(models["qwen3"], overlap=overlap, token_budget=8), asked)
    cpu = answers(Engine(models["qwen3"], EngineOptions(device="cpu", dtype="float32")), asked)
    assert [request.output for request in drawn] == [request.output for request in cpu]
    for ours, theirs in zip(drawn, cpu, strict=True):
        for got, want in ((ours.logprobs, theirs.logprobs), (ours.prompt_logprobs, theirs.prompt_logprobs)):
            assert [entry.token for entry in got] == [entry.token for entry in want]
            assert [entry.logprob for entry in got] == pytest.approx([entry.logprob for entry in want], abs=1e-4)
            assert [[id for id, _ in entry.top] for entry in got] == [[id for id, _ in entry.top] for entry in want]
    assert [len(request.prompt_logprobs) for request in drawn] == [0, 0, len(prompts()[2]) - 1, 0]


@pytest.mark.parametrize(
    "eight_bits",
    [
        {"kv_dtype": "fp8"},
        {"quantization": "fp8"},
        {"quantization": "int8"},
        {"quantization": "fp8", "kv_dtype": "fp8"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("float8_rounded")
def test_eight_bits_equal_those_of_the_cpu(models: dict[str, Path], eight_bits: dict[str, Any]) -> None:
    """Of models with biases, with normalized queries and keys, with a tied head, and with experts."""
    for name in ("llama", "qwen3", "mixtral"):
        ours = start(models[name], token_budget=8, max_batch=3, **eight_bits)
        options = EngineOptions(device="cpu", dtype="float32", native=False, **eight_bits)
        cpu = Engine(models[name], options)
        assert [request.output for request in run(ours)] == [request.output for request in run(cpu)]
        assert (ours.config.quantization, ours.config.kv_dtype, ours.config.kv_bytes_per_token) == (
            cpu.config.quantization,
            cpu.config.kv_dtype,
            cpu.config.kv_bytes_per_token,
        )
