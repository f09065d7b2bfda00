"""The least time a job can take on a GPU, from what it has to move and multiply. Torch-free."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.config import ModelShape

WEIGHT_BYTES = 2


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What a GPU was seen to do: bytes read and written a second by a copy, and operations of a matrix product."""

    bytes_per_s: float
    flops_per_s: float


@dataclass(frozen=True, slots=True)
class Floor:
    """Seconds of a job that no order of its work can avoid, each part at its own ceiling, one after another."""

    prefill_s: float
    decode_matmul_s: float
    decode_attention_s: float

    @property
    def total_s(self) -> float:
        return self.prefill_s + self.decode_matmul_s + self.decode_attention_s


def floor(shape: ModelShape, lengths: Sequence[tuple[int, int]], ceilings: Ceilings, kv_bytes: int = 2) -> Floor:
    """Of (prompt, output) `lengths`; a dense model; `kv_bytes` a number in the KV cache.

    The first token comes from the prefill; every other one from a decode step, of which there are at least as many as
    the longest output needs. A step reads the weights once for all its tokens, and each token's context.
    """
    head = shape.vocab * shape.hidden
    body = shape.weight_values - head * (1 if shape.tied else 2)
    prompts = [prompt for prompt, _ in lengths]
    pairs = sum(prompt * (prompt + 1) // 2 for prompt in prompts)
    attention = 4 * shape.heads * shape.head_dim * shape.layers * pairs
    prefill = 2 * body * sum(prompts) + 2 * head * len(prompts) + attention
    steps = max(output - 1 for _, output in lengths)
    tokens = sum(output - 1 for _, output in lengths)
    weights_s = steps * (body + head) * WEIGHT_BYTES / ceilings.bytes_per_s
    contexts = sum((output - 1) * prompt + output * (output - 1) // 2 for prompt, output in lengths)
    return Floor(
        prefill_s=prefill / ceilings.flops_per_s,
        decode_matmul_s=max(weights_s, 2 * (body + head) * tokens / ceilings.flops_per_s),
        decode_attention_s=contexts * shape.kv_values_per_token * kv_bytes / ceilings.bytes_per_s,
    )
