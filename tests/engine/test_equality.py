"""Greedy tokens of `engine.generate` equal transformers' token for token, however the work is cut up."""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from engine.generate import main

# What each way of running must show in the stats, so that a case proves that it took place.
WAYS: dict[str, list[str]] = {
    "batched": [],
    "alone": ["--max-batch", "1"],
    "budget 7": ["--token-budget", "7"],
    "small blocks": ["--block-size", "3", "--no-prefix-cache"],
    "preempted": ["--block-size", "8", "--num-blocks", "16"],
    "preempted without cache": ["--block-size", "8", "--num-blocks", "16", "--no-prefix-cache"],
    "prefix hits": ["--block-size", "8", "--max-batch", "2"],
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


@pytest.mark.parametrize("way", WAYS)
def test_small_checkpoints(checkpoint: Path, way: str, tmp_path: Path) -> None:
    prompts = random_prompts(320)
    lines, stats = generate(checkpoint, prompts, tmp_path, "--max-tokens", "30", *WAYS[way])
    expected = oracle(checkpoint, tuple(map(tuple, prompts)), 30)
    assert [line["token_ids"] for line in lines] == expected
    assert len({token for answer in expected for token in answer}) > 20, "the checkpoint says next to nothing"
    if way.startswith("preempted"):
        assert stats["preemptions"] > 0
    if way == "prefix hits":
        assert stats["cached_tokens"] > 0
        assert [line["cached_tokens"] for line in lines][-1] >= 16
    if way == "budget 7":
        assert max(step["decode_sequences"] + step["prefill_tokens"] for step in stats["step_log"]) == 7


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
    [["--max-batch", "1"], [], ["--token-budget", "7"], ["--block-size", "8", "--num-blocks", "24"]],
    ids=["alone", "batched", "budget 7", "preempted"],
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
