"""Weights from safetensors, or random ones of the right shape, streamed into the decoder's packed parameters."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.config import Experts, ModelShape
from engine.errors import InputError
from engine.linear import Linear, linear
from engine.model import Layer, MixtureOfExperts, Mlp, Weights
from engine.quantization import MakeLinear, QuantizedExperts, quantize
from engine.quantization import make_linear as on_cpu
from engine.shard import WHOLE, Axis, Shard

STORED_AS = ("F64", "F32", "F16", "BF16")  # others have scales beside them
DUMMY_SCALE = 0.02  # the usual initializer range, so that activations stay finite
CPU = torch.device("cpu")


class Read(Protocol):
    """Reads the wanted parts of the tensor of a Hugging Face name, and checks its shape."""

    def __call__(self, name: str, *axes: Axis) -> Tensor: ...


def load_weights(
    folder: Path,
    shape: ModelShape,
    dtype: torch.dtype,
    *,
    dummy: bool,
    native: bool = False,
    quantization: str = "none",
    make_linear: MakeLinear | None = None,
    experts_in: torch.dtype | None = None,
    shard: Shard = WHOLE,
    device: torch.device = CPU,
) -> Weights:
    """Read the part of a model folder's safetensors that `shard` holds; with `dummy`, draw random weights instead.

    `make_linear` is what multiplies by them; None is a CPU's, to which `native` code may belong. A GPU multiplies all
    experts in one launch, so that in 8 bits they need one type, `experts_in`. Raises InputError naming a missing or
    damaged file, a missing tensor, one that holds NaN, or one whose shape contradicts config.json.
    """
    make = make_linear or on_cpu(quantization, native=native)
    if dummy:
        reader = _random_reader(dtype, device)
        return _Assembly(shape, shard, reader, dtype, native, quantization, make, experts_in, device).weights()
    with ExitStack() as stack:
        reader = _file_reader(folder, dtype, stack, device)
        return _Assembly(shape, shard, reader, dtype, native, quantization, make, experts_in, device).weights()


@dataclass(frozen=True, slots=True)
class _Assembly:
    """Puts tensors of Hugging Face names where the decoder wants them."""

    shape: ModelShape
    shard: Shard
    read: Read
    dtype: torch.dtype
    native: bool
    quantization: str
    make_linear: MakeLinear
    experts_in: torch.dtype | None
    device: torch.device

    def weights(self) -> Weights:
        shape = self.shape
        embedding = self.read("model.embed_tokens.weight", Axis.whole(shape.vocab), self._hidden)
        rows = self.shard.axis(shape.vocab)
        head = embedding[rows.parts[0]] if shape.tied else self.read("lm_head.weight", rows, self._hidden)
        return Weights(
            embedding=embedding,
            layers=[self._layer(number) for number in range(shape.layers)],
            norm=self._norm("model.norm", shape.hidden),
            head=self._linear(head, None),
        )

    def _layer(self, number: int) -> Layer:
        shape, name = self.shape, f"model.layers.{number}."
        queries, keys = self.shard.query_axis(shape), self.shard.kv_axis(shape)
        qkv = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
        if shape.packed:
            qkv = {"qkv_proj": Axis.joined(qkv.values())}
        # Gemma has the name post_attention_layernorm for what it says, Llama for the norm before the MLP.
        before_mlp = "pre_feedforward_layernorm" if shape.post_norms else "post_attention_layernorm"
        return Layer(
            window=shape.windows[number],
            attention_norm=self._norm(name + "input_layernorm", shape.hidden),
            qkv=self._packed(name + "self_attn.", qkv, self._hidden, shape.qkv_bias),
            qk_norm=self._qk_norm(name + "self_attn.") if shape.qk_norm else None,
            output=self._summed(name + "self_attn.", "o_proj", queries, shape.output_bias),
            attention_post_norm=self._post_norm(name + "post_attention_layernorm"),
            mlp_norm=self._norm(name + before_mlp, shape.hidden),
            mlp=self._mlp(name, number),
            mlp_post_norm=self._post_norm(name + "post_feedforward_layernorm"),
        )

    def _mlp(self, name: str, number: int) -> Mlp | MixtureOfExperts | QuantizedExperts:
        shape = self.shape
        if shape.experts is not None and number in shape.experts.layers:
            return self._experts(name, shape.experts)
        inner = self.shard.axis(shape.intermediate)
        gate_up = {"gate_proj": inner, "up_proj": inner}
        if shape.packed:
            gate_up = {"gate_up_proj": Axis.joined(gate_up.values())}
        return Mlp(
            gate_up=self._packed(name + "mlp.", gate_up, self._hidden, shape.mlp_bias),
            down=self._summed(name + "mlp.", "down_proj", inner, shape.mlp_bias),
        )

    def _experts(self, layer: str, experts: Experts) -> MixtureOfExperts | QuantizedExperts:
        hidden, inner = self._hidden, self.shard.axis(experts.intermediate)
        mixtral = self.shape.family == "mixtral"
        name = layer + ("block_sparse_moe." if mixtral else "mlp.")
        gate, up, down = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
        router = linear(self.read(name + "gate.weight", Axis.whole(experts.count), hidden), native=self.native)
        if self.quantization != "none" and self.experts_in is None:
            mlps = [
                Mlp(
                    gate_up=self._packed(f"{name}experts.{number}.", {gate: inner, up: inner}, hidden, bias=False),
                    down=self._packed(f"{name}experts.{number}.", {down: hidden}, inner, bias=False),
                )
                for number in range(experts.count)
            ]
            return QuantizedExperts(router, mlps, experts.per_token, experts.normalized)
        width = inner.parts[0].stop - inner.parts[0].start
        gate_up, gate_up_scales = self._stack(experts.count, 2 * width, hidden.size)
        downs, down_scales = self._stack(experts.count, hidden.size, width)
        for number in range(experts.count):
            part = f"{name}experts.{number}."
            both = torch.cat([self.read(f"{part}{half}.weight", inner, hidden) for half in (gate, up)])
            self._put(both, gate_up, gate_up_scales, number)
            self._put(self.read(f"{part}{down}.weight", hidden, inner), downs, down_scales, number)
        scales = (gate_up_scales, down_scales) if self.experts_in else None
        return MixtureOfExperts(router, gate_up, downs, scales, experts.per_token, experts.normalized)

    def _stack(self, count: int, outputs: int, inputs: int) -> tuple[Tensor, Tensor]:
        weights = torch.empty(count, outputs, inputs, dtype=self.experts_in or self.dtype, device=self.device)
        return weights, torch.empty(count, outputs, dtype=torch.float32, device=self.device)

    def _put(self, weight: Tensor, into: Tensor, scales: Tensor, number: int) -> None:
        if self.experts_in is None:
            into[number] = weight
        else:
            into[number], scales[number] = quantize(weight, self.experts_in)

    def _packed(self, prefix: str, outputs: dict[str, Axis], inputs: Axis, bias: bool) -> Linear:
        weight = torch.cat([self.read(f"{prefix}{part}.weight", rows, inputs) for part, rows in outputs.items()])
        biases = [self.read(f"{prefix}{part}.bias", rows) for part, rows in outputs.items()] if bias else None
        return self._linear(weight, torch.cat(biases) if biases else None)

    def _linear(self, weight: Tensor, bias: Tensor | None) -> Linear:
        return self.make_linear(weight, bias)

    def _summed(self, prefix: str, part: str, inputs: Axis, bias: bool) -> Linear:
        """A projection back to the hidden state, which is summed over the ranks: only the first adds the bias."""
        return self._packed(prefix, {part: self._hidden}, inputs, bias and self.shard.rank == 0)

    @property
    def _hidden(self) -> Axis:
        return Axis.whole(self.shape.hidden)

    def _norm(self, name: str, size: int) -> Tensor:
        weight = self.read(name + ".weight", Axis.whole(size))
        return weight.float() + 1 if self.shape.norms_less_one else weight

    def _qk_norm(self, prefix: str) -> tuple[Tensor, Tensor, float]:
        dim = self.shape.head_dim
        return self._norm(prefix + "q_norm", dim), self._norm(prefix + "k_norm", dim), self.shape.rms_eps

    def _post_norm(self, name: str) -> Tensor | None:
        return self._norm(name, self.shape.hidden) if self.shape.post_norms else None


def _random_reader(dtype: torch.dtype, device: torch.device) -> Read:
    generator = torch.Generator(device).manual_seed(0)
    like = torch.empty((), dtype=dtype, device=device)

    def read(name: str, *axes: Axis) -> Tensor:
        size = [axis.size for axis in axes]
        if len(size) == 1:
            whole = like.new_ones(size) if name.endswith("norm.weight") else like.new_zeros(size)
        else:  # all of it, so that every number of ranks has the same model
            whole = like.new_empty(size).normal_(0.0, DUMMY_SCALE, generator=generator)
        return _wanted(whole, axes)

    return read


def _file_reader(folder: Path, dtype: torch.dtype, stack: ExitStack, device: torch.device) -> Read:
    files = [stack.enter_context(_opened(path, device)) for path in _weight_files(folder)]
    found = {_text_name(name): (file, name) for file in files for name in list(file.keys())}

    def read(name: str, *axes: Axis) -> Tensor:
        if name not in found:
            raise InputError(f"{folder} has no tensor {name}, which its config.json asks for")
        file, stored_name = found[name]
        stored = file.get_slice(stored_name)
        size, wanted = tuple(stored.get_shape()), tuple(axis.size for axis in axes)
        if size != wanted:
            raise InputError(f"{folder}: tensor {name} is {size}, but config.json makes it {wanted}")
        if stored.get_dtype() not in STORED_AS:
            raise InputError(
                f"{folder}: tensor {name} is stored as {stored.get_dtype()}, which is not supported; supported are "
                f"{', '.join(STORED_AS)}"
            )
        tensor = _wanted(stored, axes)
        if not tensor.sum(dtype=torch.float32).isfinite():
            raise InputError(f"{folder}: tensor {name} holds NaN or infinite values; get the file again")
        return tensor.to(dtype)

    return read


class Sliceable(Protocol):
    """A tensor, or one in a file of which only what is asked for is read."""

    def __getitem__(self, parts: tuple[slice, ...], /) -> Tensor: ...


def _wanted(stored: Sliceable, axes: Sequence[Axis]) -> Tensor:
    """Its rows may come in several parts."""
    columns = tuple(axis.parts[0] for axis in axes[1:])
    parts = [stored[(rows, *columns)] for rows in axes[0].parts]
    return parts[0].contiguous() if len(parts) == 1 else torch.cat(parts)


def _text_name(name: str) -> str:
    """The name of a text decoder's tensor, where the checkpoint has a vision tower beside it (Gemma 3)."""
    for prefix, plain in (("language_model.model.", "model."), ("model.language_model.", "model.")):
        if name.startswith(prefix):
            return plain + name.removeprefix(prefix)
    return name.removeprefix("language_model.")


def _weight_files(folder: Path) -> list[Path]:
    """The files that the index of a sharded model names, or else every file."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise InputError(f"{folder} has no .safetensors file: give a folder with weights, or use --dummy-weights")
        return files
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f'{index} must be JSON with a "weight_map" of tensor names to files') from None
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} of the {len(names)} files that {index.name} names: {', '.join(missing)}"
        )
    return [folder / name for name in names]


def _opened(path: Path, device: torch.device) -> safe_open:
    try:
        return safe_open(path, framework="pt", device=str(device))
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged or cut short ({error}); get the file again") from None
