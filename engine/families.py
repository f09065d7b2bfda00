"""Model families: what each computes that its `config.json` does not spell out. Torch-free.

Every family is Llama with small differences. Those that a `config.json` names (head sizes, caps, experts) are read in
`engine.config`; those that only the family's name implies stand in FAMILIES, together with the values that its
configuration may leave out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import InputError

Raw = Mapping[str, Any]  # a parsed config.json


def never(raw: Raw, layer: int) -> bool:
    return False


def always(raw: Raw, layer: int) -> bool:
    return True


def every_second(raw: Raw, layer: int) -> bool:
    return layer % 2 == 0


def all_but_every_sixth(raw: Raw, layer: int) -> bool:
    pattern: int = raw.get("sliding_window_pattern") or raw.get("_sliding_window_pattern") or 6
    return (layer + 1) % pattern != 0


def upper_layers_if_asked(raw: Raw, layer: int) -> bool:
    first: int = raw.get("max_window_layers", 28)
    return bool(raw.get("use_sliding_window")) and layer >= first


def all_if_asked(raw: Raw, layer: int) -> bool:
    return bool(raw.get("use_sliding_window"))


@dataclass(frozen=True, slots=True)
class Family:
    """How a family differs from Llama. `defaults` holds what its config.json may leave out."""

    qkv_bias: bool = False  # on query, key and value whatever `attention_bias` says
    qk_norm: bool = False  # queries and keys are normalized a head at a time before they are rotated
    post_norms: bool = False  # attention and MLP outputs are normalized before they join the residual
    norms_less_one: bool = False  # norm weights are stored as w - 1
    scaled_embedding: bool = False  # embeddings are multiplied by sqrt(hidden)
    packed: bool = False  # QKV and gate-up are one tensor each in the checkpoint
    slides: Callable[[Raw, int], bool] = never  # which layers see the sliding window only
    named_layers: bool = False  # `layer_types`, where given, says so instead
    defaults: Raw = field(default_factory=dict)


_GEMMA: dict[str, Any] = {
    "tie_word_embeddings": True,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 256,
    "head_dim": 256,
    "sliding_window": 4096,
}

FAMILIES: Mapping[str, Family] = {
    "llama": Family(),
    "mistral": Family(slides=always, defaults={"sliding_window": 4096}),
    "qwen2": Family(qkv_bias=True, slides=upper_layers_if_asked, named_layers=True),
    "qwen3": Family(qk_norm=True, slides=upper_layers_if_asked, named_layers=True, defaults={"head_dim": 128}),
    "gemma2": Family(
        post_norms=True,
        norms_less_one=True,
        scaled_embedding=True,
        slides=every_second,
        named_layers=True,
        defaults=_GEMMA | {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    ),
    "gemma3_text": Family(
        qk_norm=True,
        post_norms=True,
        norms_less_one=True,
        scaled_embedding=True,
        slides=all_but_every_sixth,
        named_layers=True,
        defaults=_GEMMA
        | {
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "vocab_size": 262_208,
            "max_position_embeddings": 131_072,
            "rope_theta": 1e6,
            "rope_local_base_freq": 1e4,
        },
    ),
    "phi3": Family(packed=True, slides=always, defaults={"original_max_position_embeddings": 4096}),
    "mixtral": Family(slides=always, defaults={"rope_theta": 1e6, "num_local_experts": 8, "num_experts_per_tok": 2}),
    "qwen3_moe": Family(
        qk_norm=True, slides=all_if_asked, defaults={"decoder_sparse_step": 1, "norm_topk_prob": False}
    ),
}


def settled(raw: Raw) -> tuple[Family, dict[str, Any]]:
    """The family that a config.json names, and the configuration of its text decoder with nothing left out.

    Raises InputError for a family that the decoder does not compute.
    """
    if raw.get("model_type") == "gemma3":  # with a vision tower, which is not served
        raw = {"model_type": "gemma3_text"} | dict(raw.get("text_config") or {})
    name = str(raw.get("model_type"))
    if name not in FAMILIES:
        raise InputError(f"model family {name!r} is not supported; supported are {', '.join(FAMILIES)}")
    if raw.get("use_bidirectional_attention"):
        raise InputError(f"{name} with bidirectional attention is not supported; it generates no text")
    family = FAMILIES[name]
    return family, {**family.defaults, **raw}
