"""The model's shape and the engine's limits. Torch-free, so that the simulator and the web process can read them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """How rotary frequencies are stretched: `linear` by factor, `llama3` by wavelength (Llama 3.1's rule)."""

    kind: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 0


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The numbers of a Hugging Face `config.json` that decide what is computed."""

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    max_position: int
    rms_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    tied: bool
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    qk_norm: bool
    sliding_window: int | None

    @property
    def kv_values_per_token(self) -> int:
        """Numbers kept for one token over all layers: a key and a value a layer and KV head."""
        return 2 * self.layers * self.kv_heads * self.head_dim

    @classmethod
    def from_folder(cls, folder: Path) -> "ModelShape":
        """Read `config.json` of a model folder; raises InputError when there is none or it can't be served."""
        if not folder.is_dir():
            raise InputError(f"model folder {folder} does not exist: give a folder with config.json and weights")
        path = folder / "config.json"
        if not path.is_file():
            raise InputError(f"model folder {folder} has no config.json: give a Hugging Face model folder or a .gguf")
        try:
            raw = json.loads(path.read_text())
        except ValueError as error:
            raise InputError(f"{path} is not JSON ({error})") from None
        try:
            return cls.from_config(raw)
        except KeyError as error:
            raise InputError(f"{path} has no {error}, which every supported model has") from None

    @classmethod
    def from_config(cls, raw: dict[str, Any]) -> "ModelShape":
        """Build a shape from the parsed `config.json`; raises InputError for what the decoder does not compute."""
        family = _family(raw)
        heads = raw["num_attention_heads"]
        theta, scaling = _rope(raw)
        bias = bool(raw.get("attention_bias", False))
        return cls(
            family=family,
            layers=raw["num_hidden_layers"],
            hidden=raw["hidden_size"],
            heads=heads,
            kv_heads=raw.get("num_key_value_heads") or heads,
            head_dim=raw.get("head_dim") or raw["hidden_size"] // heads,
            intermediate=raw["intermediate_size"],
            vocab=raw["vocab_size"],
            max_position=raw["max_position_embeddings"],
            rms_eps=raw.get("rms_norm_eps", 1e-6),
            rope_theta=theta,
            rope_scaling=scaling,
            tied=bool(raw.get("tie_word_embeddings", False)),
            qkv_bias=bias or family == "qwen2",
            output_bias=bias and family != "qwen2",
            mlp_bias=bool(raw.get("mlp_bias", False)),
            qk_norm=family == "qwen3",
            sliding_window=raw.get("sliding_window") if family == "mistral" else None,
        )


def _family(raw: dict[str, Any]) -> str:
    family = str(raw.get("model_type"))
    if family not in FAMILIES:
        raise InputError(f"model family {family!r} is not supported; supported are {', '.join(FAMILIES)}")
    if raw.get("hidden_act", "silu") != "silu":
        raise InputError(f"hidden_act {raw['hidden_act']!r} is not supported; supported is silu")
    if family != "mistral" and (raw.get("use_sliding_window") or "sliding_attention" in (raw.get("layer_types") or [])):
        raise InputError(f"{family} with a sliding window on some layers is not supported")
    return family


def _rope(raw: dict[str, Any]) -> tuple[float, RopeScaling | None]:
    """Theta and scaling, from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before)."""
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    theta = float(rope.get("rope_theta", raw.get("rope_theta", 10000.0)))
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind == "linear":
        return theta, RopeScaling(kind, float(rope["factor"]))
    if kind == "llama3":
        return theta, RopeScaling(
            kind,
            float(rope["factor"]),
            float(rope["low_freq_factor"]),
            float(rope["high_freq_factor"]),
            int(rope["original_max_position_embeddings"]),
        )
    raise InputError(f"rope scaling {kind!r} is not supported; supported are default, linear and llama3")


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Everything the scheduler needs to know, on a real device or under the simulator's clock.

    `num_blocks` counts the whole pool, block 0 included, which is reserved for padding.
    """

    max_batch: int = 64
    token_budget: int = 512
    block_size: int = 64
    num_blocks: int = 1024
    max_model_len: int = 8192
    prefix_cache: bool = True

    def __post_init__(self) -> None:
        for field in ("max_batch", "token_budget", "block_size", "max_model_len"):
            if getattr(self, field) < 1:
                raise InputError(f"{field} is {getattr(self, field)}; it must be at least 1")
        if self.num_blocks < 2:
            raise InputError(f"num_blocks is {self.num_blocks}; it must be at least 2 (block 0 is reserved)")

    @property
    def rows(self) -> int:
        """Requests that run at once: each gets at least one token a step, so never more than the budget."""
        return min(self.max_batch, self.token_budget)

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_size)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the person asked for; None leaves the choice to `engine.runner`, which knows the device."""

    dtype: str | None = None
    device: str = "auto"
    max_batch: int = 64
    block_size: int = 64
    num_blocks: int | None = None
    token_budget: int | None = None
    prefix_cache: bool = True
    dummy_weights: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in (None, "float32", "bfloat16"):
            raise InputError(f"dtype is {self.dtype!r}; it must be float32 or bfloat16")
        if self.device not in ("auto", "cpu", "cuda"):
            raise InputError(f"device is {self.device!r}; it must be auto, cpu or cuda")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Every choice made."""

    scheduler: SchedulerConfig
    device: str
    dtype: str
    dummy_weights: bool
    kv_bytes_per_token: int
