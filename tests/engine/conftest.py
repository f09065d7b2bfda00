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
LONGROPE = {  # prompts of 45 tokens start beyond 40, some others outgrow it, and some never get there
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.3, 1.5, 1.8, 2.0],
    "long_factor": [1.2, 1.8, 2.5, 4.0, 6.0, 9.0],
    "original_max_position_embeddings": 40,
    "partial_rotary_factor": 0.75,
}
WINDOW = 24  # shorter than the longest prompts
GEMMA = SMALL | {
    "head_dim": 24,
    "sliding_window": WINDOW,
    "query_pre_attn_scalar": 16,
}
GEMMA3_ROPE = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}
PHI = SMALL | {"pad_token_id": 1, "num_attention_heads": 6}
QWEN3_MOE = SMALL | {
    "head_dim": 32,
    "num_experts": 6,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 48,
}
SEEDS = (1, 2)
CHECKPOINTS: dict[str, transformers.PretrainedConfig] = {
    "llama": transformers.LlamaConfig(**SMALL, tie_word_embeddings=False),
    "llama-tied-bias": transformers.LlamaConfig(**SMALL, tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "llama-rope-llama3": transformers.LlamaConfig(**SMALL, rope_parameters=LLAMA3_ROPE),
    "llama-rope-linear": transformers.LlamaConfig(**SMALL, rope_parameters={"rope_type": "linear", "factor": 3.0}),
    "llama-rope-dynamic": transformers.LlamaConfig(**SMALL, rope_parameters={"rope_type": "dynamic", "factor": 3.0}),
    "llama-odd-heads": transformers.LlamaConfig(**SMALL | {"num_attention_heads": 3, "num_key_value_heads": 1}),
    "mistral": transformers.MistralConfig(**SMALL, head_dim=32, sliding_window=None),
    "mistral-window": transformers.MistralConfig(**SMALL, sliding_window=WINDOW),
    "qwen2": transformers.Qwen2Config(**SMALL, tie_word_embeddings=True),
    "qwen2-window": transformers.Qwen2Config(
        **SMALL, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1
    ),
    "qwen3": transformers.Qwen3Config(**SMALL, head_dim=32),
    "gemma2": transformers.Gemma2Config(**GEMMA, attn_logit_softcapping=15.0, final_logit_softcapping=2.0),
    "gemma3": transformers.Gemma3TextConfig(**GEMMA | {"num_hidden_layers": 4}, sliding_window_pattern=3),
    "gemma3-rope-linear": transformers.Gemma3TextConfig(**GEMMA, rope_parameters=GEMMA3_ROPE, sliding_window_pattern=2),
    "phi3": transformers.Phi3Config(**PHI, sliding_window=WINDOW),
    "phi3-longrope": transformers.Phi3Config(**PHI, original_max_position_embeddings=40, rope_parameters=LONGROPE),
    "mixtral": transformers.MixtralConfig(**SMALL, num_local_experts=4, num_experts_per_tok=2),
    "mixtral-window": transformers.MixtralConfig(**SMALL, num_local_experts=3, sliding_window=WINDOW),
    "qwen3-moe": transformers.Qwen3MoeConfig(**QWEN3_MOE, norm_topk_prob=True),
    "qwen3-moe-dense-layers": transformers.Qwen3MoeConfig(
        **QWEN3_MOE, norm_topk_prob=False, decoder_sparse_step=2, mlp_only_layers=[0]
    ),
}


@pytest.fixture(scope="session")
def smollm2() -> Path:
    if not (SMOLLM2 / "config.json").exists():
        message = f"{SMOLLM2} is missing: run `make model`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return SMOLLM2


@pytest.fixture(scope="session", params=[f"{name}-{seed}" for name in CHECKPOINTS for seed in SEEDS])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint as transformers saves it, in a folder that carries its name and seed."""
    name, _, seed = request.param.rpartition("-")
    return save_checkpoint(name, tmp_path_factory.mktemp(request.param, numbered=False), int(seed))


def save_checkpoint(name: str, folder: Path, seed: int = 1) -> Path:
    return save_model(CHECKPOINTS[name], folder, seed)


def save_model(config: transformers.PretrainedConfig, folder: Path, seed: int = 1) -> Path:
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "norm" in parameter_name or parameter_name.endswith("bias"):
                parameter.uniform_(0.5, 1.5)  # so that a forgotten norm or bias shows
            if config.model_type.startswith("gemma") and "embed_tokens" in parameter_name:
                parameter.mul_(0.1)  # else a tied and scaled embedding would only repeat the last token
    model.save_pretrained(folder)
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The equality matrix: for each checkpoint and way of running, how many seeds gave transformers' tokens."""
    cells: dict[tuple[str, str], list[bool]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, cell in report.user_properties:
                if name == "equality":
                    cells.setdefault(tuple(cell), []).append(outcome == "passed")
    if not cells:
        return
    rows, ways = ([*dict.fromkeys(cell[side] for cell in cells)] for side in (0, 1))
    terminalreporter.section("greedy tokens equal to transformers, seeds equal / tried")
    terminalreporter.write_line(" " * 24 + "".join(f"{way:>{len(way) + 2}}" for way in ways))
    for row in sorted(rows):
        equal = [cells.get((row, way), []) for way in ways]
        texts = [f"{f'{sum(cell)}/{len(cell)}':>{len(way) + 2}}" for way, cell in zip(ways, equal, strict=True)]
        terminalreporter.write_line(f"{row:24}" + "".join(texts))
