"""Weights and KV in 8 bits, through the engine: what they compute, what they cost, and what is refused."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from engine.config import EngineOptions, ModelShape
from engine.engine import Engine
from engine.errors import InputError
from engine.generate import main
from engine.quantization import make_linear, quantize, weight_bytes
from engine.request import SamplingParams
from engine.runner import resolve
from tests.engine.conftest import CHECKPOINTS, save_checkpoint
from tests.engine.test_equality import random_prompts

KINDS = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
# The largest part of a row's greatest weight by which rounding moves a weight of it.
ROUNDING = {"int8": 0.5 / 127, "fp8": 2**-4}


def greedy(folder: Path, options: EngineOptions, tokens: int = 20) -> list[list[int]]:
    requests = Engine(folder, options).generate(random_prompts(320), SamplingParams(max_tokens=tokens, ignore_eos=True))
    return [request.output for request in requests]


def prompt_logprobs(folder: Path, options: EngineOptions) -> torch.Tensor:
    params = SamplingParams(max_tokens=1, prompt_logprobs=0)
    [request] = Engine(folder, options).generate([list(range(2, 60))], params)
    return torch.tensor([entry.logprob for entry in request.prompt_logprobs])


def dequantized(folder: Path, to: Path, kind: str) -> Path:
    """A checkpoint whose matrices are what the quantized weights stand for, in float32; its head is its own."""
    tensors = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    tensors.setdefault("lm_head.weight", tensors["model.embed_tokens.weight"])
    for name, tensor in tensors.items():
        if tensor.dim() == 2 and not re.search(r"embed_tokens|gate\.weight$", name):
            small, scales = quantize(tensor, KINDS[kind])
            tensors[name] = small.float() * scales[:, None]
    to.mkdir()
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, to / "model.safetensors")
    (to / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    return to


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["llama-tied-bias", "gemma3", "phi3", "mixtral", "qwen3-moe-dense-layers"])
def test_greedy_tokens_are_those_of_dequantized_weights(name: str, kind: str, tmp_path: Path) -> None:
    folder = save_checkpoint(name, tmp_path / "whole")
    tokens = greedy(folder, EngineOptions(dtype="float32", quantization=kind))
    assert tokens == greedy(dequantized(folder, tmp_path / "dequantized", kind), EngineOptions(dtype="float32"))
    assert tokens != greedy(folder, EngineOptions(dtype="float32")), "8 bits should show somewhere"


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_of_weights_is_bounded(kind: str) -> None:
    weight = torch.randn(40, 300) * torch.logspace(-6, 6, 40)[:, None]
    weight[3] = 0
    small, scales = quantize(weight, KINDS[kind])
    off = (small.float() * scales[:, None] - weight).abs()
    assert (off <= ROUNDING[kind] * 1.001 * weight.abs().amax(dim=1, keepdim=True)).all()
    assert (off.square().sum(dim=1) < 0.04**2 * weight.square().sum(dim=1) + 1e-30).all()


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_int8_products_lose_no_more_than_their_type_and_depend_on_no_batch(dtype: torch.dtype, native: bool) -> None:
    weight, bias = torch.randn(130, 224), torch.randn(130).to(dtype)
    x = torch.randn(300, 224).to(dtype)
    linear = make_linear("int8", native=native)(weight.to(dtype), bias)
    small, scales = quantize(weight.to(dtype), torch.int8)
    exact = F.linear(x.double(), small.double() * scales.double()[:, None], bias.double())
    got = linear(x)
    lost = {torch.float32: 2e-6, torch.bfloat16: 2**-9}[dtype]
    assert (got.double() - exact).norm() / exact.norm() < lost
    for rows in (slice(0, 1), slice(7, 23), slice(299, 300)):
        assert torch.equal(linear(x[rows].contiguous()), got[rows])


def test_a_cpu_whose_integer_products_lose_some_widens_the_weights() -> None:
    """oneDNN sums pairs of products in 16 bits on CPUs without VNNI, as it is told here to think of this one."""
    program = """if True:
        import torch
        from engine.quantization import Scaled, make_linear
        weight, x = torch.full((3, 256), 0.5), torch.full((1, 256), 0.25)
        product = make_linear("int8", native=False)(weight, None)
        print(type(product) is Scaled, product(x).tolist())
    """
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["True", "[[32.0, 32.0, 32.0]]\n"]


@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_fp8_kv_is_near_and_not_the_same(quantization: str, tmp_path: Path) -> None:
    """Log probabilities of a prompt's tokens, of which only the KV cache differs."""
    folder = save_checkpoint("qwen3", tmp_path)
    options = EngineOptions(dtype="float32", quantization=quantization, native=False, token_budget=7)
    whole, small = prompt_logprobs(folder, options), prompt_logprobs(folder, replace(options, kv_dtype="fp8"))
    off = (whole - small).abs()
    assert 0 < off.mean() < 0.5
    assert off.mean() < 0.1 * (whole.max() - whole.min())


def test_fp8_kv_does_not_depend_on_how_the_work_is_cut(tmp_path: Path) -> None:
    folder = save_checkpoint("llama", tmp_path)
    options = EngineOptions(dtype="float32", kv_dtype="fp8", quantization="fp8", block_size=8)
    tokens = greedy(folder, options)
    for change in ({"max_batch": 1}, {"token_budget": 7}, {"num_blocks": 12}, {"overlap": True}):
        assert greedy(folder, replace(options, **change)) == tokens


def test_dummy_weights_are_quantized_too(tmp_path: Path) -> None:
    CHECKPOINTS["mixtral"].save_pretrained(tmp_path)
    for kind in KINDS:
        options = EngineOptions(dtype="bfloat16", dummy_weights=True, quantization=kind)
        assert len(greedy(tmp_path, options, tokens=3)[0]) == 3


def test_memory_is_counted_in_8_bits() -> None:
    for name in ("llama", "llama-tied-bias", "mixtral"):
        shape = ModelShape.from_config(CHECKPOINTS[name].to_dict())
        embedding = shape.vocab * shape.hidden
        others = shape.weight_values - embedding * (1 if shape.tied else 2)
        assert weight_bytes(shape, 4, "none") == 4 * shape.weight_values
        assert weight_bytes(shape, 2, "none") == 2 * (others + 2 * embedding), "a tied head is a copy"
        assert weight_bytes(shape, 2, "int8") == 2 * embedding + others + embedding
        plain, small = (resolve(shape, EngineOptions(dtype="bfloat16", kv_dtype=kv)) for kv in (None, "fp8"))
        assert small.kv_bytes_per_token * 2 == plain.kv_bytes_per_token


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quantization": "int4"}, "quantization is 'int4'; it must be none, int8 or fp8"),
        ({"kv_dtype": "int8"}, "kv_dtype is 'int8'; it must be fp8"),
        ({"kv_dtype": "fp8", "native": True}, "native operations read no fp8 KV cache"),
    ],
)
def test_what_is_not_there_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(EngineOptions(), **options)


def test_the_command_line_says_what_was_used(tmp_path: Path) -> None:
    folder = save_checkpoint("llama", tmp_path / "model")
    (tmp_path / "in.jsonl").write_text('{"prompt_token_ids": [5, 6, 7]}\n')
    files = ["--prompts", tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl", "--stats", tmp_path / "stats.json"]
    flags = ["--quantization", "fp8", "--kv-dtype", "fp8"]
    assert main([str(part) for part in ["--model", folder, *files, *flags]]) == 0
    config = json.loads((tmp_path / "stats.json").read_text())["config"]
    assert (config["quantization"], config["kv_dtype"]) == ("fp8", "float8_e4m3fn")
