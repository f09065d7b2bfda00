"""Tokens in float32 equal transformers' one by one; probabilities in bfloat16 are as near to float32's as its own."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from engine.config import EngineOptions
from engine.engine import Engine
from engine.request import SamplingParams
from tests.engine.test_equality import oracle, random_prompts

GREEDY = SamplingParams(max_tokens=30)
WAYS: dict[str, dict[str, Any]] = {
    "captured": {},
    "kernel by kernel": {"graphs": False},
    "read before the next": {"overlap": False},
    "both off": {"overlap": False, "graphs": False},
    "alone": {"max_batch": 1},
    "budget 7": {"token_budget": 7},
    "preempted": {"num_blocks": 4},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "mixtral"])
def test_float32_tokens_equal_transformers(models: dict[str, Path], name: str, way: str) -> None:
    prompts = [*random_prompts(320), [7] * 50, [9] * 60]
    engine = Engine(models[name], EngineOptions(device="cuda", dtype="float32", **WAYS[way]))
    outputs = [request.output for request in engine.generate(prompts, GREEDY)]
    assert outputs == oracle(models[name], tuple(map(tuple, prompts)), 30)
    assert engine.config.graphs_failure is None
    assert bool(engine.config.graphs) == WAYS[way].get("graphs", True)
    assert (engine.scheduler.preemptions > 0) == (way == "preempted")


def test_bfloat16_is_as_near_to_float32_as_transformers_is(models: dict[str, Path]) -> None:
    """Mean difference of log probabilities: at most 1.5 times that of transformers in bfloat16, and 0.01."""
    prompt = [(37 * n + n * n) % 2048 for n in range(900)]
    engine = Engine(models["middling"], EngineOptions(device="cuda", token_budget=256))
    request = engine.generate([prompt], SamplingParams(max_tokens=1, prompt_logprobs=0))[0]
    ours = torch.tensor([entry.logprob for entry in request.prompt_logprobs])
    exact, theirs = (scored(models["middling"], prompt, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert (ours - exact).abs().mean() <= 1.5 * (theirs - exact).abs().mean() + 0.01


def scored(model: Path, prompt: list[int], dtype: torch.dtype) -> Tensor:
    """transformers' log probability of each token after the first."""
    reference = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=dtype).to("cuda").eval()
    with torch.inference_mode():
        logits: Tensor = reference(torch.tensor([prompt], device="cuda")).logits
    logprobs = logits[0, :-1].float().log_softmax(-1).cpu()
    return logprobs.gather(1, torch.tensor(prompt[1:])[:, None])[:, 0]


def test_draws_with_seeds_and_edits_equal_the_cpu(models: dict[str, Path]) -> None:
    asked = [
        SamplingParams(max_tokens=20, temperature=0.9, top_k=20, top_p=0.9, seed=7, ignore_eos=True),
        SamplingParams(max_tokens=20, temperature=1.2, min_p=0.05, seed=8, logprobs=2, ignore_eos=True),
        SamplingParams(max_tokens=20, repetition_penalty=1.4, frequency_penalty=0.5, ignore_eos=True),
    ]
    answers = []
    for device in ("cuda", "cpu"):
        engine = Engine(models["qwen3"], EngineOptions(device=device, dtype="float32"))
        requests = [engine.add([5, 6, 7], params) for params in asked]
        for _ in engine.run():
            pass
        answers.append([request.output for request in requests])
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "eight_bits", [{"kv_dtype": "fp8"}, {"quantization": "fp8"}, {"quantization": "int8"}], ids=str
)
def test_eight_bits_are_those_of_the_cpu(models: dict[str, Path], eight_bits: dict[str, str]) -> None:
    """But for numbers that another order of sums rounds to the next of few."""
    if "fp8" in eight_bits.values() and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("needs a GPU of compute capability 8.9 or later")
    prompt = [(37 * n + n * n) % 2048 for n in range(300)]
    scores = []
    for device in ("cuda", "cpu"):
        options: dict[str, Any] = {"device": device, "dtype": "float32", "token_budget": 128, **eight_bits}
        engine = Engine(models["middling"], EngineOptions(**options))
        request = engine.generate([prompt], SamplingParams(max_tokens=1, prompt_logprobs=0))[0]
        scores.append(torch.tensor([entry.logprob for entry in request.prompt_logprobs]))
    assert (scores[0] - scores[1]).abs().mean() <= 0.01


@pytest.mark.parametrize("way", ["captured", "kernel by kernel", "read before the next"])
def test_two_gpus_draw_the_tokens_of_transformers(models: dict[str, Path], way: str) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip(f"needs two GPUs, and torch finds {torch.cuda.device_count()}")
    prompts = random_prompts(320)
    options: dict[str, Any] = {"device": "cuda", "dtype": "float32", "tensor_parallel": 2, **WAYS[way]}
    with closing(Engine(models["llama"], EngineOptions(**options))) as engine:
        outputs = [request.output for request in engine.generate(prompts, GREEDY)]
        assert bool(engine.config.graphs) == WAYS[way].get("graphs", True)
    assert outputs == oracle(models["llama"], tuple(map(tuple, prompts)), 30)
