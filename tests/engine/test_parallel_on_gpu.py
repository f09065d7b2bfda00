"""Tensor parallelism of the GPU's runner, with Triton's interpreter for GPUs and gloo for NCCL.

A rank is another process, where nothing is patched: launches and captured steps are those of a GPU, and blocks have 64
tokens.
"""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
import transformers

from engine.config import EngineOptions
from engine.cuda import runner
from engine.engine import Engine
from engine.errors import InputError, RankFailed
from engine.parallel import Lead
from engine.request import Request, SamplingParams
from engine.shard import Shard
from tests.engine.conftest import save_model
from tests.engine.cuda.conftest import TINY
from tests.engine.test_equality import oracle

pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="these run under the interpreter")
PROMPTS = ((5, 6, 7), (9, 8, 7, 6, 5), (11, 12), (13,))
LENGTH = 4
GREEDY = SamplingParams(max_tokens=LENGTH)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """With a KV head for both ranks, and with two; a bias, a tied head, and a vocabulary that doesn't divide."""
    configs: dict[str, Any] = {
        "llama": transformers.LlamaConfig(**TINY | {"vocab_size": 97}, attention_bias=True),
        "qwen3": transformers.Qwen3Config(
            **TINY | {"num_attention_heads": 4, "num_key_value_heads": 2}, tie_word_embeddings=True
        ),
    }
    return {name: save_model(config, tmp_path_factory.mktemp(name)) for name, config in configs.items()}


def start(model: Path, ranks: int = 2, **options: Any) -> Engine:
    small: dict[str, Any] = {"num_blocks": 12, "max_batch": 3, "token_budget": 8, "graphs": False}
    return Engine(model, EngineOptions(device="cuda", **small | options, tensor_parallel=ranks))


@pytest.fixture(scope="module")
def pair(models: dict[str, Path]) -> Iterator[Engine]:
    with closing(start(models["llama"])) as engine:
        yield engine


def run(engine: Engine, asked: list[SamplingParams]) -> list[Request]:
    requests = [engine.add(list(prompt), params) for prompt, params in zip(PROMPTS, asked, strict=True)]
    for _ in engine.run():
        engine.scheduler.check()
    return requests


@pytest.mark.parametrize("name", ["llama", "qwen3"])
@pytest.mark.parametrize("options", [{"overlap": False}, {"graphs": True}], ids=str)
def test_two_ranks_draw_the_tokens_of_transformers(models: dict[str, Path], name: str, options: dict[str, Any]) -> None:
    """Captured steps are as large on both, padding included."""
    with closing(start(models[name], **options)) as engine:
        assert engine.config.tensor_parallel == 2
        assert engine.config.overlap == options.get("overlap", True)
        assert bool(engine.config.graphs) == options.get("graphs", False)
        requests = run(engine, [GREEDY] * len(PROMPTS))
    assert [request.output for request in requests] == oracle(models[name], PROMPTS, LENGTH)


def test_what_only_the_first_rank_knows_of_draws_reaches_the_other(models: dict[str, Path], pair: Engine) -> None:
    """Rows are taken by others while a step is under way; a token drawn behind a step is what the next one reads."""
    asked = [
        SamplingParams(max_tokens=5, temperature=0.9, top_k=20, seed=7, ignore_eos=True),
        SamplingParams(max_tokens=5, temperature=1.2, min_p=0.05, seed=8, logprobs=2, ignore_eos=True),
        SamplingParams(max_tokens=4, logit_bias={3: 4.0}, min_tokens=3, prompt_logprobs=1),
        SamplingParams(max_tokens=5, repetition_penalty=1.4, logprobs=0, ignore_eos=True),
    ]
    both = run(pair, asked)
    alone = run(start(models["llama"], ranks=1), asked)
    for ours, theirs in zip(both, alone, strict=True):
        assert ours.output == theirs.output
        for got, want in ((ours.logprobs, theirs.logprobs), (ours.prompt_logprobs, theirs.prompt_logprobs)):
            assert [entry.token for entry in got] == [entry.token for entry in want]
            assert [entry.logprob for entry in got] == pytest.approx([entry.logprob for entry in want], abs=1e-4)


def test_each_rank_keeps_its_own_heads_in_8_bits_too(models: dict[str, Path]) -> None:
    alone = run(start(models["qwen3"], ranks=1, kv_dtype="fp8"), [GREEDY] * len(PROMPTS))
    with closing(start(models["qwen3"], kv_dtype="fp8")) as engine:
        made: Any = engine.runner
        assert made._caches.shape[3] == 1
        assert engine.config.kv_bytes_per_token == 2 * 2 * 2 * 16
        both = run(engine, [GREEDY] * len(PROMPTS))
    assert [request.output for request in both] == [request.output for request in alone]


def test_ranks_agree_on_the_fewest_blocks(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "check_blocks", lambda *_: None)
    blocks = runner.CudaRunner._blocks
    monkeypatch.setattr(runner.CudaRunner, "_blocks", lambda self, asked: blocks(self, asked) + 5)  # of this rank
    with closing(start(models["qwen3"])) as engine:
        assert engine.config.scheduler.num_blocks == 12


def test_too_few_gpus_are_refused_before_a_process_is_started(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(
        InputError, match="tensor_parallel is 2; each of so many processes needs a GPU, and torch finds 1"
    ):
        runner.CudaRunner.of(models["qwen3"], EngineOptions(device="cuda", tensor_parallel=2))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert runner._place(Shard(1, 2)) == torch.device("cuda", 1)


def test_a_gpu_is_not_waited_for_when_the_other_rank_is_gone(models: dict[str, Path]) -> None:
    with closing(start(models["qwen3"])) as engine:
        made: Any = engine.runner
        group = made._group
        assert isinstance(group, Lead)
        never: Any = SimpleNamespace(query=lambda: False)
        for process in group._processes:
            psutil.Process(process.pid).kill()
        began = time.monotonic()
        with pytest.raises(RankFailed, match="rank 1 of 2 broke down: its process ended with code -9"):
            group.wait_for(never)
        assert time.monotonic() - began < 10
        with pytest.raises(RankFailed, match="start a new engine"):
            engine.generate([[5]], GREEDY)
