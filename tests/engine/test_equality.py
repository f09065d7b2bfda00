"""Greedy tokens of `engine.generate` equal transformers' token for token, however the work is cut up."""

import json
import random
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from engine.config import EngineOptions
from engine.engine import Engine
from engine.generate import main
from engine.request import SamplingParams
from tests.engine.conftest import CHECKPOINTS, LONGROPE, save_checkpoint

# What each way of running must show in the stats, so that a case proves that it took place.
WAYS: dict[str, list[str]] = {
    "batched": [],
    "alone": ["--max-batch", "1"],
    "budget 7": ["--token-budget", "7"],
    "small blocks": ["--block-size", "3", "--no-prefix-cache"],
    "preempted": ["--block-size", "8", "--num-blocks", "12"],
    "preempted without cache": ["--block-size", "8", "--num-blocks", "12", "--no-prefix-cache"],
    "prefix hits": ["--block-size", "8", "--max-batch", "2"],
    "PyTorch operations": ["--no-native"],
    "overlap": ["--overlap"],
    "overlap, preempted": ["--overlap", "--block-size", "8", "--num-blocks", "12"],
    "overlap, budget 7": ["--overlap", "--token-budget", "7"],
}


def generate(model: Path, prompts: list[list[int]], folder: Path, *flags: str) -> tuple[list[dict[str, Any]], Any]:
    """Run the command line on token ids in float32; returns output lines and stats."""
    lines = [json.dumps({"prompt_token_ids": prompt}) for prompt in prompts]
    (folder / "in.jsonl").write_text("\n".join(lines))
    out, stats = folder / "out.jsonl", folder / "stats.json"
    command = ["--model", model, "--prompts", folder / "in.jsonl", "--out", out, "--stats", stats, *flags]
    assert main([str(part) for part in [*command, "--dtype", "float32"]]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()], json.loads(stats.read_text())


@cache
def oracle(model: Path, prompts: tuple[tuple[int, ...], ...], max_tokens: int) -> list[list[int]]:
    """transformers, one prompt at a time."""
    reference = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    answers = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            tokens = reference.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False, pad_token_id=1
            )
        answers.append(tokens[0, len(prompt) :].tolist())
    return answers


def random_prompts(vocabulary: int) -> list[list[int]]:
    """Six prompts, the last three behind a prefix that they share."""
    chance = random.Random(5)
    shared = [chance.randrange(2, vocabulary) for _ in range(20)]
    own = [[chance.randrange(2, vocabulary) for _ in range(length)] for length in (1, 8, 45, 3, 9, 17)]
    return own[:3] + [shared + prompt for prompt in own[3:]]


@pytest.fixture
def cell(record_property: Callable[[str, object], None], checkpoint: Path) -> Callable[[str], None]:
    """Names the test's cell in the table that the run ends with."""
    name = checkpoint.name.rpartition("-")[0]
    return lambda way: record_property("equality", [name, way])


@pytest.mark.parametrize("way", WAYS)
def test_small_checkpoints(checkpoint: Path, way: str, cell: Callable[[str], None], tmp_path: Path) -> None:
    cell(way)
    prompts = random_prompts(320)
    lines, stats = generate(checkpoint, prompts, tmp_path, "--max-tokens", "30", *WAYS[way])
    expected = oracle(checkpoint, tuple(map(tuple, prompts)), 30)
    assert [line["token_ids"] for line in lines] == expected
    assert len({token for answer in expected for token in answer}) > 20, "the checkpoint says next to nothing"
    if "preempted" in way:
        assert stats["preemptions"] > 0
    if way == "prefix hits" and stats["config"]["scheduler"]["prefix_cache"]:
        assert stats["cached_tokens"] > 0
        assert [line["cached_tokens"] for line in lines][-1] >= 16
    assert stats["config"]["overlap"] == way.startswith("overlap")
    if way.endswith("budget 7") and "longrope" not in checkpoint.name:  # which computes a sequence again in one step
        assert max(step["decode_sequences"] + step["prefill_tokens"] for step in stats["step_log"]) == 7


def test_cancel_of_a_neighbour(checkpoint: Path, cell: Callable[[str], None]) -> None:
    """One is cancelled while its prompt is in progress, one while it generates, one while it waits."""
    cell("neighbour cancelled")
    prompts = random_prompts(320)
    engine = Engine(checkpoint, EngineOptions(dtype="float32", block_size=8, token_budget=24, max_batch=6))
    requests = [engine.add(prompt, SamplingParams(max_tokens=30)) for prompt in [*prompts, *prompts[:3]]]
    expected = oracle(checkpoint, tuple(map(tuple, prompts)), 30)
    waiting, prompting, generating = requests[8], requests[2], requests[4]
    engine.step()
    engine.cancel(waiting)
    while not 0 < prompting.computed < len(prompting.prompt):
        engine.step()
    engine.cancel(prompting)
    while len(generating.output) < 2:
        engine.step()
    engine.cancel(generating)
    for _ in engine.run():
        engine.scheduler.check()
    assert [r.finish_reason for r in (waiting, prompting, generating)] == ["cancelled"] * 3
    kept = [number for number in range(len(requests)) if number not in (2, 4, 8)]
    assert [requests[number].output for number in kept] == [[*expected, *expected[:3]][number] for number in kept]


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_tensor_parallel(name: str, record_property: Callable[[str, object], None], tmp_path: Path) -> None:
    """Two processes a model, three for three heads, each with a part of every layer: one step ahead, preempted, with
    prefix hits and a neighbour cancelled. One engine a checkpoint, since each has to start a process."""
    record_property("equality", [name, "tensor parallel"])
    folder, prompts = save_checkpoint(name, tmp_path), random_prompts(320)
    ranks = 3 if name == "llama-odd-heads" else 2
    options = EngineOptions(dtype="float32", block_size=8, num_blocks=13, overlap=True, tensor_parallel=ranks)
    greedy = SamplingParams(max_tokens=30)
    with closing(Engine(folder, options)) as engine:
        requests = [engine.add(prompt, greedy) for prompt in prompts]
        neighbour = engine.add(prompts[3], greedy, priority=-1)
        while len(neighbour.output) < 2:
            engine.step()
        engine.cancel(neighbour)
        for _ in engine.run():
            engine.scheduler.check()
        again = engine.generate(prompts[3:], greedy)
    expected = oracle(folder, tuple(map(tuple, prompts)), 30)
    assert [request.output for request in requests] == expected
    assert [request.output for request in again] == expected[3:]
    assert neighbour.finish_reason == "cancelled"
    assert engine.scheduler.preemptions > 0
    assert any(request.cached_tokens for request in again) == engine.config.scheduler.prefix_cache


# What a checkpoint would be without one of its features. Greedy tokens have to change, or the matrix proves nothing.
DROPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "rope llama3": ("llama-rope-llama3", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
    "rope linear": ("llama-rope-linear", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
    "mistral's window": ("mistral-window", {"sliding_window": None}),
    "mistral's window, one less": ("mistral-window", {"sliding_window": 23}),
    "qwen2's window": ("qwen2-window", {"use_sliding_window": False, "layer_types": None}),
    "qwen2's first full layer": ("qwen2-window", {"layer_types": ["sliding_attention"] * 3}),
    "gemma2's window": ("gemma2", {"layer_types": ["full_attention"] * 3}),
    "gemma2's alternation": ("gemma2", {"layer_types": ["full_attention", "sliding_attention", "full_attention"]}),
    "gemma2's attention cap": ("gemma2", {"attn_logit_softcapping": None}),
    "gemma2's attention scale": ("gemma2", {"query_pre_attn_scalar": 24}),
    "gemma2's activation": ("gemma2", {"hidden_activation": "silu"}),
    "gemma3's window": ("gemma3", {"layer_types": ["full_attention"] * 4}),
    "gemma3's global theta": (
        "gemma3",
        {"rope_parameters": {kind: {"rope_theta": 1e4} for kind in ("full_attention", "sliding_attention")}},
    ),
    "gemma3's local theta": (
        "gemma3",
        {"rope_parameters": {kind: {"rope_theta": 1e6} for kind in ("full_attention", "sliding_attention")}},
    ),
    "phi3's window": ("phi3", {"sliding_window": None}),
    "longrope": ("phi3-longrope", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.75}}),
    "longrope's long factors": ("phi3-longrope", {"rope_parameters": LONGROPE | {"long_factor": [1.0] * 6}}),
    "longrope's short factors": ("phi3-longrope", {"rope_parameters": LONGROPE | {"short_factor": [1.0] * 6}}),
    "longrope's attention factor": ("phi3-longrope", {"rope_parameters": LONGROPE | {"attention_factor": 1.0}}),
    "partial rotary": (
        "phi3-longrope",
        {
            "rope_parameters": LONGROPE
            | {"partial_rotary_factor": 1.0, "short_factor": [1.2] * 8, "long_factor": [2.0] * 8}
        },
    ),
    "top-2 of the experts": ("mixtral", {"num_experts_per_tok": 1}),
    "normalized shares": ("qwen3-moe", {"norm_topk_prob": False}),
    "shares as they are": ("qwen3-moe-dense-layers", {"norm_topk_prob": True}),
}


@pytest.mark.parametrize("feature", DROPPED)
def test_the_matrix_would_see_a_feature_dropped(feature: str, tmp_path: Path) -> None:
    name, change = DROPPED[feature]
    whole = save_checkpoint(name, tmp_path / "whole")
    config = json.loads((whole / "config.json").read_text())
    (tmp_path / "dropped").mkdir()
    (tmp_path / "dropped" / "config.json").write_text(json.dumps(config | change))
    (tmp_path / "dropped" / "model.safetensors").symlink_to(whole / "model.safetensors")
    prompts = random_prompts(320)
    lines, _ = generate(tmp_path / "dropped", prompts, tmp_path, "--max-tokens", "30")
    expected = oracle(whole, tuple(map(tuple, prompts)), 30)
    assert [line["token_ids"] for line in lines] != expected


PROMPTS = [
    "The capital of France is",
    "Once upon a time",
    "def fibonacci(n):",
    "The three laws of thermodynamics are",
    "In 1969, humans",
    "Water boils at",
    "To make a good cup of tea,",
    "The derivative of x^2 is",
    "Shakespeare wrote",
    "A list of prime numbers: 2, 3, 5,",
    "The largest planet in the solar system",
    "import numpy as np\n",
    "Q: What is photosynthesis?\nA:",
    "The quick brown fox",
    "Dear Sir or Madam,",
    "SELECT name FROM users WHERE",
    "The mitochondria is",
    "Roses are red,",
    "<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n",
]


@pytest.mark.xdist_group("smollm2")  # one worker asks the oracle, once
@pytest.mark.parametrize(
    "flags",
    [
        ["--max-batch", "1"],
        [],
        ["--token-budget", "7"],
        ["--block-size", "8", "--num-blocks", "24"],
        ["--block-size", "2", "--max-batch", "1"],  # the last prompt begins as the one before it
    ],
    ids=["alone", "batched", "budget 7", "preempted", "prefix hit"],
)
def test_smollm2(smollm2: Path, flags: list[str], tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2)
    prompts = [tokenizer(text)["input_ids"] for text in PROMPTS]
    lines, stats = generate(smollm2, prompts, tmp_path, "--max-tokens", "32", *flags)
    expected = oracle(smollm2, tuple(map(tuple, prompts)), 32)
    assert [line["token_ids"] for line in lines] == expected
    assert {line["finish_reason"] for line in lines} == {"stop", "length"}
    assert lines[0]["text"].startswith(" Paris")
    if "--num-blocks" in flags:
        assert stats["preemptions"] > 0
    if "2" in flags:
        assert lines[-1]["cached_tokens"] > 0
