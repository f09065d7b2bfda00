"""Weights from safetensors, or random ones of the right shape, streamed into the decoder's packed parameters."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from engine.config import ModelShape
from engine.errors import InputError
from engine.model import Layer, Linear, Weights

# Reads the tensor of a Hugging Face name and checks its shape.
Read = Callable[[str, tuple[int, ...]], Tensor]

DUMMY_SCALE = 0.02  # the usual initializer range, so that activations stay finite


def load_weights(folder: Path, shape: ModelShape, dtype: torch.dtype, dummy: bool) -> Weights:
    """Read a model folder's safetensors; with `dummy`, draw random weights and read nothing.

    Raises InputError naming a missing file or tensor, or a tensor whose shape contradicts config.json.
    """
    if dummy:
        return _assemble(shape, _random_reader(dtype))
    with ExitStack() as stack:
        return _assemble(shape, _file_reader(folder, dtype, stack))


def _assemble(shape: ModelShape, read: Read) -> Weights:
    embedding = read("model.embed_tokens.weight", (shape.vocab, shape.hidden))
    return Weights(
        embedding=embedding,
        layers=[_layer(shape, f"model.layers.{number}.", read) for number in range(shape.layers)],
        norm=read("model.norm.weight", (shape.hidden,)),
        head=Linear(embedding if shape.tied else read("lm_head.weight", (shape.vocab, shape.hidden))),
    )


def _layer(shape: ModelShape, name: str, read: Read) -> Layer:
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    hidden, inner = shape.hidden, shape.intermediate
    attention, mlp = name + "self_attn.", name + "mlp."

    def packed(prefix: str, parts: dict[str, int], inputs: int, bias: bool) -> Linear:
        weight = torch.cat([read(f"{prefix}{part}.weight", (size, inputs)) for part, size in parts.items()])
        biases = [read(f"{prefix}{part}.bias", (size,)) for part, size in parts.items()] if bias else None
        return Linear(weight, torch.cat(biases) if biases else None)

    def norm(part: str, size: int) -> Tensor:
        return read(f"{name}{part}.weight", (size,))

    return Layer(
        attention_norm=norm("input_layernorm", hidden),
        qkv=packed(attention, {"q_proj": queries, "k_proj": keys, "v_proj": keys}, hidden, shape.qkv_bias),
        qk_norm=(norm("self_attn.q_norm", shape.head_dim), norm("self_attn.k_norm", shape.head_dim), shape.rms_eps)
        if shape.qk_norm
        else None,
        output=packed(attention, {"o_proj": hidden}, queries, shape.output_bias),
        mlp_norm=norm("post_attention_layernorm", hidden),
        gate_up=packed(mlp, {"gate_proj": inner, "up_proj": inner}, hidden, shape.mlp_bias),
        down=packed(mlp, {"down_proj": hidden}, inner, shape.mlp_bias),
    )


def _random_reader(dtype: torch.dtype) -> Read:
    generator = torch.Generator().manual_seed(0)

    def read(name: str, wanted: tuple[int, ...]) -> Tensor:
        if len(wanted) == 1:
            return torch.ones(wanted, dtype=dtype) if name.endswith("norm.weight") else torch.zeros(wanted, dtype=dtype)
        return torch.empty(wanted, dtype=dtype).normal_(0.0, DUMMY_SCALE, generator=generator)

    return read


def _file_reader(folder: Path, dtype: torch.dtype, stack: ExitStack) -> Read:
    file_of = _tensor_files(folder)
    opened = {path: stack.enter_context(safe_open(path, framework="pt")) for path in set(file_of.values())}

    def read(name: str, wanted: tuple[int, ...]) -> Tensor:
        if name not in file_of:
            raise InputError(f"{folder} has no tensor {name}, which its config.json asks for")
        tensor: Tensor = opened[file_of[name]].get_tensor(name)
        if tuple(tensor.shape) != wanted:
            raise InputError(f"{folder}: tensor {name} is {tuple(tensor.shape)}, but config.json makes it {wanted}")
        return tensor.to(dtype)

    return read


def _tensor_files(folder: Path) -> dict[str, Path]:
    """Which file holds each tensor: from the index of a sharded model, else by looking into every file."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        weight_map: dict[str, str] = json.loads(index.read_text())["weight_map"]
        return {name: folder / file for name, file in weight_map.items()}
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder} has no .safetensors file: give a folder with weights, or use --dummy-weights")
    names = {}
    for path in files:
        with safe_open(path, framework="pt") as file:
            names.update(dict.fromkeys(file.keys(), path))
    return names
