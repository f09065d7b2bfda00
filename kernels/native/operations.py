"""The operations of operations.cpp on PyTorch tensors.

Shapes, meaning and rounding (to about a unit in the last place) are those of `kernels.reference`.
"""

import ctypes

import torch
from torch import Tensor

from kernels.native.build import Unavailable, library

NAMES = {torch.float32: "float", torch.bfloat16: "bfloat16"}
MOST_HEAD_DIM = 512  # of which attention of prompts keeps a tile of context


class _Cache(ctypes.Structure):
    _fields_ = [
        ("start", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("values", "block", "head", "block_size", "kv_heads", "dim")),
    ]


def prepare(head_dim: int) -> None:
    """Compile all of this, for heads of so many numbers. Raises `build.Unavailable` where it can't be had."""
    if head_dim > MOST_HEAD_DIM:
        raise Unavailable(f"they take heads of up to {MOST_HEAD_DIM} numbers, and this model's have {head_dim}")
    library()


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """`x [..., N]`, `weight [N]` of x's dtype or float32."""
    return _normalized(None, x.contiguous(), weight, eps)


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Add `x` into `residual` in place, then normalize the sum. All `[T, N]`."""
    return _normalized(x.contiguous(), residual, weight, eps)


def _normalized(x: Tensor | None, residual: Tensor, weight: Tensor, eps: float) -> Tensor:
    out = torch.empty_like(residual)
    size = residual.shape[-1]
    call = getattr(library(), f"add_rms_norm_{_types(residual, weight)}")
    call(_start(x), _start(residual), _start(weight), eps, residual.numel() // size, size, _start(out))
    return out


def silu_mul(gate_up: Tensor) -> Tensor:
    """`silu(gate) * up` of a packed `[T, 2N]`; returns `[T, N]`."""
    return _gated(gate_up, gelu=False)


def gelu_tanh_mul(gate_up: Tensor) -> Tensor:
    """`gelu(gate) * up` with the tanh approximation, of a packed `[T, 2N]`; returns `[T, N]`."""
    return _gated(gate_up, gelu=True)


def _gated(gate_up: Tensor, gelu: bool) -> Tensor:
    gate_up = gate_up.contiguous()
    rows, both = gate_up.shape
    out = gate_up.new_empty(rows, both // 2)
    call = getattr(library(), f"gated_{NAMES[gate_up.dtype]}")
    call(_start(gate_up), rows, both // 2, gelu, _start(out))
    return out


def rope_and_write_kv(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    cache: Tensor,
    slots: Tensor,
    norms: tuple[Tensor, Tensor, float] | None = None,
) -> Tensor:
    """Normalize (where the family does) and rotate queries and keys, store keys and values, return the queries.

    `qkv [T, H + 2G, D]` is overwritten; `cos` and `sin` `[T, 1, R / 2]`; `slots [T]` int64. Returns `[T, H, D]`.
    """
    tokens, packed, dim = qkv.shape
    queries = qkv.new_empty(tokens, packed - 2 * cache.shape[2], dim)
    query_weight, key_weight, eps = norms or (None, None, 0.0)
    call = getattr(library(), f"rope_and_write_kv_{_types(qkv, query_weight)}")
    angles = _start(cos), _start(sin), cos.shape[-1]
    weights = _start(query_weight), _start(key_weight), eps
    call(_start(qkv), *angles, _paged(cache), _start(slots), *weights, tokens, queries.shape[1], _start(queries))
    return queries


def decode_attention(
    queries: Tensor,
    cache: Tensor,
    tables: Tensor,
    lengths: Tensor,
    window: int | None,
    scale: float,
    out: Tensor,
    cap: float | None = None,
) -> None:
    """Attention of one query a sequence over its paged context; only slots below its length are read.

    `queries` and `out` `[T, H, D]`, of which the first B are decodes; `tables [B, W]` int32, `lengths [B]` int64 with
    the token's own; `window` is how many of the last positions it sees.
    """
    rows, width = tables.shape
    call = getattr(library(), f"decode_attention_{NAMES[queries.dtype]}")
    sizes = rows, queries.shape[1], window or 0, scale, cap or 0.0
    call(_start(queries), _paged(cache), _start(tables), width, _start(lengths), *sizes, _start(out))


def prefill_attention(
    queries: Tensor,
    cache: Tensor,
    tables: Tensor,
    chunks: Tensor,
    window: int | None,
    scale: float,
    out: Tensor,
    cap: float | None = None,
) -> None:
    """Causal attention of prompt chunks over prefix and chunk; only slots of positions that a token sees are read.

    `queries` and `out` `[T, H, D]`; `chunks [C, 3]` int64: each one's first row in them, its first position, and its
    tokens; `tables [C, W]` int32.
    """
    count, width = tables.shape
    call = getattr(library(), f"prefill_attention_{NAMES[queries.dtype]}")
    sizes = count, queries.shape[1], window or 0, scale, cap or 0.0
    call(_start(queries), _paged(cache), _start(tables), width, _start(chunks), *sizes, _start(out))


def _types(numbers: Tensor, weight: Tensor | None) -> str:
    return f"{NAMES[numbers.dtype]}_{NAMES[numbers.dtype if weight is None else weight.dtype]}"


def _start(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _paged(cache: Tensor) -> "ctypes._CArgObject":
    """Where the keys and values of one layer lie; `cache [2, blocks, G, block_size, D]`, its slots contiguous."""
    values, block, head = cache.stride()[:3]
    return ctypes.byref(_Cache(cache.data_ptr(), values, block, head, cache.shape[3], cache.shape[2], cache.shape[4]))
