"""The GPU's code on a CPU, by Triton's interpreter: the tiniest models, and tiles for blocks of 8 tokens."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import triton
from triton.runtime import interpreter

from engine.config import EngineOptions
from engine.cuda import graphs
from engine.engine import Engine
from kernels import tuning
from tests.engine.conftest import save_model

TINY: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "initializer_range": 0.5,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.3, 1.5, 1.8, 2.0],
    "long_factor": [1.2, 1.8, 2.5, 4.0, 6.0, 9.0],
    "original_max_position_embeddings": 10,
    "partial_rotary_factor": 0.75,
}
PHI = {key: value for key, value in TINY.items() if key != "head_dim"} | {"pad_token_id": 1}
CONFIGS = {
    "llama": transformers.LlamaConfig(**TINY, attention_bias=True),
    "qwen3": transformers.Qwen3Config(**TINY, tie_word_embeddings=True),
    "gemma2": transformers.Gemma2Config(
        **TINY | {"initializer_range": 0.1},  # numpy warns of exponents that a GPU lets overflow
        sliding_window=5,
        query_pre_attn_scalar=16,
        attn_logit_softcapping=15.0,
        final_logit_softcapping=2.0,
    ),
    "mixtral": transformers.MixtralConfig(**TINY, num_local_experts=3, num_experts_per_tok=2),
    "phi3-longrope": transformers.Phi3Config(**PHI, original_max_position_embeddings=10, rope_parameters=LONGROPE),
}
LAUNCHES = {
    "decode": {"tile": 8, "warps": 4, "stages": 2, "programs_per_sm": 4, "splits_max": 1, "split_tokens": 8},
    "prefill": {"rows": 8, "tile": 8, "warps": 4, "stages": 2},
    "linear": {"rows": 16, "columns": 32, "depth": 32, "warps": 4, "stages": 2},
    "experts": {"rows": 16, "columns": 64, "depth": 32, "warps": 4, "stages": 2},
}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("these run under Triton's interpreter: TRITON_INTERPRET=1")
    choices = (tuning.decode, tuning.prefill, tuning.linear, tuning.experts)
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "TABLE", {name: [{"when": {}, "use": launch}] for name, launch in LAUNCHES.items()})
        patch.setattr(graphs, "PROMPT_TOKENS", (8,))
        patch.setattr(graphs, "PROMPT_CHUNKS", 4)
        for choice in choices:
            choice.cache_clear()
        yield
    for choice in choices:
        choice.cache_clear()


@pytest.fixture
def float8_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As GPUs and torch round: Triton's interpreter loses the carry where rounding up changes the exponent."""
    convert = interpreter._convert_float

    def rounded(values: Any, from_type: Any, to_type: Any, mode: Any) -> Any:
        if to_type != triton.language.float8e4nv:
            return convert(values, from_type, to_type, mode)
        return torch.from_numpy(np.ascontiguousarray(values)).to(torch.float8_e4m3fn).view(torch.uint8).numpy()

    monkeypatch.setattr(interpreter, "_convert_float", rounded)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: save_model(config, tmp_path_factory.mktemp(name)) for name, config in CONFIGS.items()}


def start(model: Path, **options: Any) -> Engine:
    small: dict[str, Any] = {"device": "cuda", "block_size": 8, "num_blocks": 30, "max_batch": 6, "token_budget": 64}
    return Engine(model, EngineOptions(**small | options))
