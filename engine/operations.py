"""What decoder and sampler compute with besides matrix products: a set of operations for each kind of device."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from engine.errors import InputError
from kernels import reference
from kernels.native import build
from kernels.native import operations as native
from kernels.reference import SamplingRows

# From a packed gate and up projection `[T, 2N]` to `[T, N]`.
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Operations:
    """Each as documented in `kernels.reference`; `activations` by their names in ModelShape."""

    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    add_rms_norm: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    activations: Mapping[str, Activation]
    route: Callable[[Tensor, int, bool], tuple[Tensor, Tensor]]
    experts: Callable[
        [Tensor, Tensor, Tensor, Tensor, Tensor, Activation, tuple[Tensor, Tensor] | None],
        Tensor,
    ]
    rope_and_write_kv: Callable[
        [Tensor, Tensor, Tensor, Tensor, Tensor, tuple[Tensor, Tensor, float] | None],
        Tensor,
    ]
    sample: Callable[[Tensor, SamplingRows | None], Tensor]
    logprobs: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor, Tensor]]


REFERENCE = Operations(
    rms_norm=reference.rms_norm,
    add_rms_norm=reference.add_rms_norm,
    activations={"silu": reference.silu_mul, "gelu_tanh": reference.gelu_tanh_mul},
    route=reference.route,
    experts=reference.experts,
    rope_and_write_kv=reference.rope_and_write_kv,
    sample=reference.sample,
    logprobs=reference.logprobs,
)

NATIVE = dataclasses.replace(
    REFERENCE,
    rms_norm=native.rms_norm,
    add_rms_norm=native.add_rms_norm,
    activations={"silu": native.silu_mul, "gelu_tanh": native.gelu_tanh_mul},
    rope_and_write_kv=native.rope_and_write_kv,
)
CPU = {"native": NATIVE, "reference": REFERENCE}


def for_cpu(native_asked: bool | None, head_dim: int) -> str:
    """The name in `CPU` of the operations to use: native where they can be had, unless asked otherwise."""
    if native_asked is False:
        return "reference"
    try:
        native.prepare(head_dim)
    except build.Unavailable as reason:
        if native_asked:
            raise InputError(f"native operations were asked for, but {reason}") from None
        return "reference"
    return "native"


class Inputs(Protocol):
    """A step's T tokens as the decoder reads them, wherever they lie."""

    @property
    def tokens(self) -> Tensor:
        """`[T]` int64."""

    @property
    def rotary_rows(self) -> Tensor:
        """`[T]` int64, rows of the rotary tables: the positions, except for LongRoPE."""

    @property
    def slots(self) -> Tensor:
        """`[T]` int64, where keys and values go: block * block_size + offset."""

    def attend(self, queries: Tensor, cache: Tensor, window: int | None, scale: float, cap: float | None) -> Tensor:
        """Attention `[T, H, D]` of the step's `queries [T, H, D]` over one layer's `cache`, own keys included.

        `window` is how many of the last positions a token sees; scores are soft-capped by `cap`.
        """
