"""One decoder for every family. What one family does and another does not is named in ModelShape and in Layer."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.config import ModelShape
from engine.linear import Linear
from engine.operations import REFERENCE, Activation, Inputs, Operations
from engine.parallel import ALONE, Group
from engine.rotary import rotary_table
from kernels import reference


@dataclass(frozen=True, slots=True)
class Mlp:
    gate_up: Linear  # [2*intermediate, hidden]
    down: Linear

    def __call__(self, x: Tensor, activation: Activation, operations: Operations) -> Tensor:
        return self.down(activation(self.gate_up(x)))


@dataclass(frozen=True, slots=True)
class MixtureOfExperts:
    """Each token goes through the `per_token` MLPs that its router scores highest."""

    router: Linear  # [experts, hidden]
    gate_up: Tensor  # [experts, 2*intermediate, hidden]
    down: Tensor  # [experts, hidden, intermediate]
    scales: tuple[Tensor, Tensor] | None  # of the outputs of both, where they are kept in 8 bits
    per_token: int
    normalized: bool

    def __call__(self, x: Tensor, activation: Activation, operations: Operations) -> Tensor:
        shares, chosen = operations.route(self.router(x), self.per_token, self.normalized)
        return operations.experts(x, shares, chosen, self.gate_up, self.down, activation, self.scales)


@dataclass(frozen=True, slots=True)
class Layer:
    window: int | None  # how many of the last positions a token sees
    attention_norm: Tensor
    qkv: Linear  # [H*D + 2*G*D, hidden]
    qk_norm: tuple[Tensor, Tensor, float] | None
    output: Linear
    attention_post_norm: Tensor | None
    mlp_norm: Tensor
    mlp: Callable[[Tensor, Activation, Operations], Tensor]  # Mlp, MixtureOfExperts or engine.quantization's
    mlp_post_norm: Tensor | None


@dataclass(frozen=True, slots=True)
class Weights:
    embedding: Tensor
    layers: list[Layer]
    norm: Tensor
    head: Linear


class Decoder:
    """The forward pass over a step's inputs, on paged KV, wherever the weights lie."""

    def __init__(
        self, shape: ModelShape, weights: Weights, operations: Operations = REFERENCE, group: Group = ALONE
    ) -> None:
        self.shape = shape
        self.weights = weights
        self._group = group
        self._operations = operations
        self._activation = operations.activations[shape.activation]
        like = weights.embedding
        self._rotary = rotary_table(shape.rope, shape.max_position, like.dtype).to(like.device)
        self._window_rotary = self._rotary
        if shape.window_rope != shape.rope:
            self._window_rotary = rotary_table(shape.window_rope, shape.max_position, like.dtype).to(like.device)
        self._embedding_scale = like.new_tensor(shape.hidden**0.5) if shape.scaled_embedding else None

    def __call__(self, batch: Inputs, caches: Tensor) -> Tensor:
        """Hidden states `[T, hidden]`, before the last norm; writes keys and values into `caches [layers, …]`."""
        operations, eps = self._operations, self.shape.rms_eps
        angles = self._rotary.at(batch.rotary_rows)
        window_angles = angles if self._window_rotary is self._rotary else self._window_rotary.at(batch.rotary_rows)
        x = F.embedding(batch.tokens, self.weights.embedding)
        if self._embedding_scale is not None:
            x = x * self._embedding_scale
        residual = torch.zeros_like(x)
        for layer, cache in zip(self.weights.layers, caches, strict=True):
            x = operations.add_rms_norm(x, residual, layer.attention_norm, eps)
            x = self._attention(x, layer, cache, batch, angles if layer.window is None else window_angles)
            if layer.attention_post_norm is not None:
                x = operations.rms_norm(x, layer.attention_post_norm, eps)
            x = operations.add_rms_norm(x, residual, layer.mlp_norm, eps)
            x = self._group.sum(layer.mlp(x, self._activation, operations))
            if layer.mlp_post_norm is not None:
                x = operations.rms_norm(x, layer.mlp_post_norm, eps)
        return x + residual

    def logits(self, hidden: Tensor) -> Tensor:
        """`[N, V]` of hidden states `[N, hidden]`."""
        logits = self.weights.head(self._operations.rms_norm(hidden, self.weights.norm, self.shape.rms_eps))
        logits = self._group.gather(logits, self.shape.vocab)
        cap = self.shape.logit_softcap
        return logits if cap is None else reference.softcap(logits, cap)

    def _attention(
        self, x: Tensor, layer: Layer, cache: Tensor, batch: Inputs, angles: tuple[Tensor, Tensor]
    ) -> Tensor:
        qkv = layer.qkv(x).view(x.shape[0], -1, self.shape.head_dim)
        queries = self._operations.rope_and_write_kv(qkv, *angles, cache, batch.slots, layer.qk_norm)
        scale, cap = self.shape.attention_scale, self.shape.attention_softcap
        attended = batch.attend(queries, cache, layer.window, scale, cap)
        return self._group.sum(layer.output(attended.flatten(1)))
