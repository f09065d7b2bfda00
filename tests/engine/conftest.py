"""Models for the engine's tests: SmolLM2 as `make model` leaves it, and small random checkpoints of each family."""

import os
from pathlib import Path

import pytest
import torch
import transformers

SMOLLM2 = Path("var/models/SmolLM2-135M-Instruct")

SMALL = {
    "vocab_size": 320,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "initializer_range": 0.3,  # wide, so that the likeliest token stands clear of the next
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
CHECKPOINTS: dict[str, transformers.PretrainedConfig] = {
    "llama": transformers.LlamaConfig(**SMALL, tie_word_embeddings=False),
    "llama-tied-bias": transformers.LlamaConfig(**SMALL, tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "llama-rope-scaled": transformers.LlamaConfig(**SMALL, rope_parameters=LLAMA3_ROPE),
    "llama-odd-heads": transformers.LlamaConfig(**SMALL | {"num_attention_heads": 3, "num_key_value_heads": 1}),
    "mistral": transformers.MistralConfig(**SMALL, head_dim=32, sliding_window=None),
    "mistral-window": transformers.MistralConfig(**SMALL, sliding_window=24),
    "qwen2": transformers.Qwen2Config(**SMALL, tie_word_embeddings=True),
    "qwen3": transformers.Qwen3Config(**SMALL, head_dim=32),
}


@pytest.fixture(scope="session")
def smollm2() -> Path:
    if not (SMOLLM2 / "config.json").exists():
        message = f"{SMOLLM2} is missing: run `make model`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return SMOLLM2


@pytest.fixture(scope="session", params=sorted(CHECKPOINTS))
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint as transformers saves it."""
    return save_checkpoint(request.param, tmp_path_factory.mktemp(request.param))


def save_checkpoint(name: str, folder: Path) -> Path:
    config = CHECKPOINTS[name]
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "norm" in parameter_name or parameter_name.endswith("bias"):
                parameter.uniform_(0.5, 1.5)  # so that a forgotten norm or bias shows
    model.save_pretrained(folder)
    return folder
