"""On a real GPU, which needs torch, Triton, transformers and pytest, but nothing of the product:

    TRITON_INTERPRET=0 python -m pytest -c /dev/null --rootdir=. --confcutdir=tests/gpu \\
        --import-mode=importlib -o pythonpath=. tests/gpu
"""

import os
from pathlib import Path

import pytest
import torch
import transformers

from tests.engine.conftest import SMALL, save_model

MIDDLING = {
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "vocab_size": 2048,
    "max_position_embeddings": 2048,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
CONFIGS = {
    "llama": transformers.LlamaConfig(**SMALL),
    "qwen3": transformers.Qwen3Config(**SMALL, head_dim=64, tie_word_embeddings=True),
    "gemma2": transformers.Gemma2Config(**SMALL, head_dim=32, sliding_window=24, query_pre_attn_scalar=16),
    "mixtral": transformers.MixtralConfig(**SMALL, num_local_experts=4, num_experts_per_tok=2),
    "middling": transformers.Qwen3Config(**MIDDLING),
}


@pytest.fixture(autouse=True, scope="session")
def compiled_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU, and torch finds none")
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("needs compiled kernels: set TRITON_INTERPRET=0")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: save_model(config, tmp_path_factory.mktemp(name)) for name, config in CONFIGS.items()}
