"""The model's shape and the engine's limits. Torch-free, so that the simulator and the web process can read them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.families import Family, Raw, settled
from engine.rope import LongRope, Rope, ropes

ACTIVATIONS = {"silu": "silu", "gelu_pytorch_tanh": "gelu_tanh"}  # what config.json calls them, and what we do

SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
)
MAY_BE_LEFT_OUT = ("num_key_value_heads", "head_dim")


@dataclass(frozen=True, slots=True)
class Experts:
    """Mixture of experts on some `layers`: `per_token` of `count` gated MLPs; their shares sum to 1 if `normalized`."""

    count: int
    per_token: int
    intermediate: int
    normalized: bool
    layers: frozenset[int]


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The numbers of a Hugging Face `config.json` that decide what is computed, and the family's own differences."""

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int  # of the dense MLPs
    vocab: int
    max_position: int
    rms_eps: float
    rope: Rope
    window_rope: Rope  # of layers with a sliding window; Gemma 3 gives them a theta of their own
    tied: bool
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    qk_norm: bool
    post_norms: bool
    norms_less_one: bool
    scaled_embedding: bool
    packed: bool
    activation: str  # of the MLPs' gate: silu or gelu_tanh
    attention_scale: float
    attention_softcap: float | None
    logit_softcap: float | None
    windows: tuple[int | None, ...]  # of each layer: how many of the last positions a token sees, or None for all
    experts: Experts | None

    @property
    def kv_values_per_token(self) -> int:
        """Numbers kept for one token over all layers: a key and a value a layer and KV head, windowed or not."""
        return 2 * self.layers * self.kv_heads * self.head_dim

    @property
    def longrope_length(self) -> int | None:
        """The length past which LongRoPE computes a sequence with other angles, or None where none can get there."""
        scaling = self.rope.scaling
        if isinstance(scaling, LongRope) and scaling.original_max_position < self.max_position:
            return scaling.original_max_position
        return None

    @property
    def weight_values(self) -> int:
        """Numbers in all weight matrices, which is what loading takes; norms and biases are too few to count."""
        attention = 2 * self.hidden * (self.heads + self.kv_heads) * self.head_dim
        routed = len(self.experts.layers) if self.experts else 0
        mlps = 3 * self.hidden * self.intermediate * (self.layers - routed)
        if self.experts:
            mlps += routed * self.experts.count * self.hidden * (3 * self.experts.intermediate + 1)
        return self.layers * attention + mlps + self.vocab * self.hidden * (1 if self.tied else 2)

    @classmethod
    def from_folder(cls, folder: Path) -> "ModelShape":
        """Read `config.json` of a model folder; raises InputError when there is none or it can't be served."""
        if not folder.is_dir():
            raise InputError(f"model folder {folder} does not exist: give a folder with config.json and weights")
        path = folder / "config.json"
        if not path.is_file():
            raise InputError(f"model folder {folder} has no config.json: give a Hugging Face model folder or a .gguf")
        raw = json_object(path)
        try:
            return cls.from_config(raw)
        except InputError:
            raise
        except KeyError as error:
            raise InputError(f"{path} has no {error}, which every supported model has") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} holds a value of the wrong kind ({error})") from None

    @classmethod
    def from_config(cls, raw: dict[str, Any]) -> "ModelShape":
        """Build a shape from the parsed `config.json`; raises InputError for what the decoder does not compute."""
        family, raw = settled(raw)
        _check_sizes(raw)
        heads = raw["num_attention_heads"]
        head_dim = raw.get("head_dim") or raw["hidden_size"] // heads
        rope, window_rope = ropes(raw, head_dim)
        bias = bool(raw.get("attention_bias", False))
        return cls(
            family=raw["model_type"],
            layers=raw["num_hidden_layers"],
            hidden=raw["hidden_size"],
            heads=heads,
            kv_heads=raw.get("num_key_value_heads") or heads,
            head_dim=head_dim,
            intermediate=raw["intermediate_size"],
            vocab=raw["vocab_size"],
            max_position=raw["max_position_embeddings"],
            rms_eps=float(raw.get("rms_norm_eps", 1e-6)),
            rope=rope,
            window_rope=window_rope,
            tied=bool(raw.get("tie_word_embeddings", False)),
            qkv_bias=bias or family.qkv_bias,
            output_bias=bias and not family.qkv_bias,
            mlp_bias=bool(raw.get("mlp_bias", False)),
            qk_norm=family.qk_norm,
            post_norms=family.post_norms,
            norms_less_one=family.norms_less_one,
            scaled_embedding=family.scaled_embedding,
            packed=family.packed,
            activation=_activation(raw),
            attention_scale=raw.get("query_pre_attn_scalar", head_dim) ** -0.5,
            attention_softcap=raw.get("attn_logit_softcapping"),
            logit_softcap=raw.get("final_logit_softcapping"),
            windows=_windows(family, raw),
            experts=_experts(raw),
        )


def json_object(path: Path) -> dict[str, Any]:
    """Read a model's configuration; raises InputError for a file that holds something else."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error})") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path} holds a {type(raw).__name__}; it must be a JSON object")
    return raw


def _check_sizes(raw: Raw) -> None:
    given = [name for name in MAY_BE_LEFT_OUT if raw.get(name) is not None]
    for name in (*SIZES, *given):
        if type(raw[name]) is not int or raw[name] < 1:
            raise InputError(f"{name} of the model is {raw[name]!r}; it must be a whole number from 1 up")
    heads, kv_heads = raw["num_attention_heads"], raw.get("num_key_value_heads") or raw["num_attention_heads"]
    if heads % kv_heads:
        raise InputError(f"num_key_value_heads of the model is {kv_heads}; it must divide its {heads} attention heads")


def _activation(raw: Raw) -> str:
    name = raw.get("hidden_activation") or raw.get("hidden_act", "silu")
    if name not in ACTIVATIONS:
        raise InputError(f"hidden_act {name!r} is not supported; supported are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def _windows(family: Family, raw: Raw) -> tuple[int | None, ...]:
    layers = range(raw["num_hidden_layers"])
    kinds = raw.get("layer_types") if family.named_layers else None
    if kinds is None:
        return tuple(raw.get("sliding_window") if family.slides(raw, layer) else None for layer in layers)
    unknown = set(kinds) - {"full_attention", "sliding_attention"}
    if unknown or len(kinds) != len(layers):
        raise InputError(
            f"layer_types has {len(kinds)} entries, among them {sorted(set(kinds))}; "
            f"it must say full_attention or sliding_attention for each of {len(layers)} layers"
        )
    return tuple(raw.get("sliding_window") if kind == "sliding_attention" else None for kind in kinds)


def _experts(raw: Raw) -> Experts | None:
    layers = range(raw["num_hidden_layers"])
    if raw["model_type"] == "mixtral":
        count, per_token = raw["num_local_experts"], raw["num_experts_per_tok"]
        return Experts(count, per_token, raw["intermediate_size"], normalized=True, layers=frozenset(layers))
    if raw["model_type"] == "qwen3_moe":
        dense, every = raw.get("mlp_only_layers") or (), raw["decoder_sparse_step"]
        return Experts(
            count=raw.get("num_local_experts") or raw["num_experts"],  # transformers 5 writes the first
            per_token=raw["num_experts_per_tok"],
            intermediate=raw["moe_intermediate_size"],
            normalized=raw["norm_topk_prob"],
            layers=frozenset(layer for layer in layers if layer not in dense and (layer + 1) % every == 0),
        )
    return None


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


QUANTIZATIONS = ("none", "int8", "fp8")  # of weight matrices
KV_DTYPES = ("fp8",)  # besides the dtype


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
    overlap: bool | None = None
    native: bool | None = None  # the CPU operations compiled from C++, rather than PyTorch's
    quantization: str = "none"  # of weight matrices: changes tokens, so it is never chosen unasked
    kv_dtype: str | None = None  # fp8, or the dtype
    graphs: bool = True
    tensor_parallel: int = 1

    def __post_init__(self) -> None:
        for name in ("max_batch", "block_size", "num_blocks", "token_budget", "tensor_parallel"):
            count = getattr(self, name)
            unset = count is None and name in ("num_blocks", "token_budget")
            if not unset and type(count) is not int:
                raise InputError(f"{name} is {count!r}; it must be a whole number")
        if self.tensor_parallel < 1:
            raise InputError(f"tensor_parallel is {self.tensor_parallel}; it must be at least 1")
        if self.dtype not in (None, "float32", "bfloat16"):
            raise InputError(f"dtype is {self.dtype!r}; it must be float32 or bfloat16")
        if self.native and self.device == "cuda":
            raise InputError("native operations are for the CPU; device is cuda")
        if self.quantization not in QUANTIZATIONS:
            raise InputError(f"quantization is {self.quantization!r}; it must be none, int8 or fp8")
        if self.kv_dtype not in (None, *KV_DTYPES):
            raise InputError(f"kv_dtype is {self.kv_dtype!r}; it must be fp8, or left out for the dtype of the weights")
        if self.native and self.kv_dtype == "fp8":
            raise InputError("native operations read no fp8 KV cache: leave out one of the two")
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
    overlap: bool  # launch a step before the tokens of the one before it are read
    operations: str  # all but matrix products: native (compiled for this CPU), reference (PyTorch) or triton
    quantization: str  # of weight matrices: none, int8 or fp8
    kv_dtype: str
    tensor_parallel: int  # processes that share each layer
    graphs: int = 0  # steps captured as CUDA graphs
    graphs_failure: str | None = None  # why there are not more of them
