"""What a config.json says, as published by the families' makers and as transformers 5 writes it."""

import math
from typing import Any

import pytest
import torch
import transformers

from engine.config import EngineOptions, Experts, ModelShape
from engine.errors import InputError
from engine.rope import Linear, LongRope, Rope
from engine.runner import resolve
from tests.engine.conftest import CHECKPOINTS

SIZES = {
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "max_position_embeddings": 4096,
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_weights_and_kv_are_counted_as_transformers_has_them(name: str) -> None:
    config = CHECKPOINTS[name]
    shape = ModelShape.from_config(config.to_dict())
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    matrices = sum(parameter.numel() for parameter in model.parameters() if parameter.dim() > 1)
    assert shape.weight_values == matrices
    keys = model.model.layers[0].self_attn
    outputs = shape.kv_heads * shape.head_dim
    assert (keys.qkv_proj.out_features if shape.packed else keys.k_proj.out_features + keys.v_proj.out_features) == (
        2 * outputs + (shape.heads * shape.head_dim if shape.packed else 0)
    )
    assert shape.kv_values_per_token == 2 * shape.layers * outputs


def test_gemma3_with_a_vision_tower_leaves_most_of_its_text_decoder_to_defaults() -> None:
    text = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    }
    shape = ModelShape.from_config({"model_type": "gemma3", "text_config": text, "vision_config": {}})
    assert (shape.heads, shape.kv_heads, shape.head_dim, shape.vocab) == (8, 4, 256, 262_208)
    assert shape.windows == ((1024,) * 5 + (None,)) * 5 + (1024,) * 4
    assert shape.rope == Rope(1e6, 256, Linear(8.0))
    assert shape.window_rope == Rope(1e4, 256)
    assert (shape.tied, shape.attention_softcap, shape.activation) == (True, None, "gelu_tanh")


def test_gemma2_of_the_hub() -> None:
    shape = ModelShape.from_config(SIZES | {"model_type": "gemma2", "head_dim": 256, "query_pre_attn_scalar": 224})
    assert shape.windows == (4096, None) * 6
    assert (shape.attention_softcap, shape.logit_softcap, shape.tied) == (50.0, 30.0, True)
    assert shape.attention_scale == 224**-0.5


def test_phi3_long_context_of_the_hub() -> None:
    """Early checkpoints call it `su`; the attention factor follows from the two lengths."""
    factors = {"type": "su", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}
    raw = SIZES | {"model_type": "phi3", "rope_scaling": factors, "max_position_embeddings": 131_072}
    shape = ModelShape.from_config(raw | {"original_max_position_embeddings": 4096})
    factor = math.sqrt(1 + math.log(32) / math.log(4096))
    assert shape.rope.scaling == LongRope((1.0,) * 8, (2.0,) * 8, factor, 4096)
    assert shape.longrope_length == 4096
    assert ModelShape.from_config(SIZES | {"model_type": "phi3"}).longrope_length is None


def test_qwen3_moe_of_the_hub() -> None:
    experts = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768, "norm_topk_prob": True}
    shape = ModelShape.from_config(SIZES | {"model_type": "qwen3_moe", "mlp_only_layers": []} | experts)
    assert shape.experts == Experts(128, 8, 768, normalized=True, layers=frozenset(range(12)))


def test_mistral_slides_by_default_and_not_when_told_so() -> None:
    assert ModelShape.from_config(SIZES | {"model_type": "mistral"}).windows == (4096,) * 12
    assert ModelShape.from_config(SIZES | {"model_type": "mistral", "sliding_window": None}).windows == (None,) * 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "gpt_neox"}, "supported are llama, mistral, qwen2, qwen3, gemma2, gemma3_text, phi3, mixtral"),
        ({"model_type": "gemma2", "use_bidirectional_attention": True}, "bidirectional attention is not supported"),
        ({"model_type": "gemma2", "layer_types": ["full_attention"]}, "for each of 12 layers"),
        ({"model_type": "qwen3", "layer_types": ["chunked_attention"] * 12}, "it must say full_attention or sliding"),
        (
            {"model_type": "phi3", "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}},
            "short_factor has 1 numbers; 16 rotated values need 8",
        ),
        ({"model_type": "llama", "head_dim": 9}, "9 of the 9 numbers of a head are to be rotated; it must be an even"),
        ({"model_type": "phi3", "partial_rotary_factor": 1.5}, "24 of the 16 numbers of a head are to be rotated"),
    ],
)
def test_what_the_decoder_does_not_compute_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ModelShape.from_config(SIZES | change)


def test_heads_too_large_for_native_operations_are_left_to_pytorch() -> None:
    shape = ModelShape.from_config(SIZES | {"model_type": "llama", "head_dim": 576})
    assert resolve(shape, EngineOptions()).operations == "reference"
    with pytest.raises(
        InputError, match="asked for, but they take heads of up to 512 numbers, and this model's have 576"
    ):
        resolve(shape, EngineOptions(native=True))
