"""GGUF files, converted once into a model folder (config.json, safetensors, tokenizer) and never read again.

python -m engine.gguf FILE.gguf --out DIR
"""

import argparse
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from engine.errors import InputError

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

DONE = "config.json"  # written last, so its presence says that a conversion ended well
ARCHITECTURES = ("llama", "qwen2", "qwen3")
TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K")
LLAMA3_FACTORS = "rope_freqs.weight"  # what Llama 3.1's rope scaling divides each frequency by

TENSORS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def converted(model: Path) -> Path:
    """The folder to load: `model` itself, or for a GGUF (a file, or the only weights of a folder) its conversion."""
    if model.suffix == ".gguf" and model.is_file():
        return convert(model, model.with_suffix(""))
    if model.is_dir() and not (model / DONE).exists():
        files = sorted(model.glob("*.gguf"))
        if len(files) > 1:
            raise InputError(f"{model} has {len(files)} GGUF files: name one of them")
        if files:
            return convert(files[0], model)
    return model


def convert(file: Path, out: Path) -> Path:
    """Write `file` as a bfloat16 model folder at `out`; does nothing when that was done before.

    Raises InputError for an architecture, a tensor or a quantization that is not known here.
    """
    if (out / DONE).exists():
        return out
    reader = _open(file)
    _check_types(reader, file)
    config = _config(reader, file)
    tensors = dict(_tensors(reader, config, file))
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    if "tokenizer.ggml.model" in reader.fields:
        _save_tokenizer(file, out)
    (out / DONE).write_text(json.dumps(config, indent=2) + "\n")
    return out


def _open(file: Path) -> "GGUFReader":
    from gguf import GGUFReader  # a package that a GPU host need not have

    try:
        return GGUFReader(file)
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{file} is not a readable GGUF file, or it is cut short ({error}): get it again") from None


def _check_types(reader: "GGUFReader", file: Path) -> None:
    for tensor in reader.tensors:
        if tensor.tensor_type.name not in TYPES:
            raise InputError(
                f"{file}: tensor {tensor.name} is stored as {tensor.tensor_type.name}, which is not supported; "
                f"supported are {', '.join(TYPES)}"
            )


def _config(reader: "GGUFReader", file: Path) -> dict[str, Any]:
    """The `config.json` that the file's metadata amounts to."""
    architecture = _field(reader, "general.architecture")
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"{file}: architecture {architecture!r} is not supported in a GGUF; supported are "
            f"{', '.join(ARCHITECTURES)}; others are read from safetensors"
        )
    if _field(reader, f"{architecture}.rope.scaling.type") not in (None, "none"):
        raise InputError(f"{file}: rope scaling in a GGUF is not supported; use the model's safetensors folder")
    required = partial(_required, reader, file, architecture)
    heads, hidden = required("attention.head_count"), required("embedding_length")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    if "token_embd.weight" not in tensors:
        raise InputError(f"{file} has no tensor token_embd.weight; it holds no whole model")
    longest = required("context_length")
    return {
        "model_type": architecture,
        "num_hidden_layers": required("block_count"),
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": _field(reader, f"{architecture}.attention.head_count_kv") or heads,
        "head_dim": _field(reader, f"{architecture}.attention.key_length") or hidden // heads,
        "intermediate_size": required("feed_forward_length"),
        "vocab_size": int(tensors["token_embd.weight"].shape[1]),
        "max_position_embeddings": longest,
        "rms_norm_eps": required("attention.layer_norm_rms_epsilon"),
        "rope_theta": _field(reader, f"{architecture}.rope.freq_base") or 10000.0,
        "rope_scaling": _rope_scaling(tensors.get(LLAMA3_FACTORS), longest),
        "tie_word_embeddings": "output.weight" not in tensors,
        "torch_dtype": "bfloat16",
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
    }


def _rope_scaling(factors: "ReaderTensor | None", longest: int) -> dict[str, Any] | None:
    """Llama 3.1's scaling, given as a factor for each frequency: LongRoPE with one set of factors for all lengths."""
    if factors is None:
        return None
    values = factors.data.tolist()
    return {
        "rope_type": "longrope",
        "short_factor": values,
        "long_factor": values,
        "attention_factor": 1.0,
        "original_max_position_embeddings": longest,
    }


def _field(reader: "GGUFReader", name: str) -> Any:
    field = reader.fields.get(name)
    return None if field is None else field.contents()


def _required(reader: "GGUFReader", file: Path, architecture: str, name: str) -> Any:
    value = _field(reader, f"{architecture}.{name}")
    if value is None:
        raise InputError(f"{file} has no {architecture}.{name}, which every supported model has")
    return value


def _tensors(reader: "GGUFReader", config: dict[str, Any], file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    from gguf.quants import dequantize

    for tensor in reader.tensors:
        if tensor.name == LLAMA3_FACTORS:
            continue
        name, part, kind = _hugging_face_name(tensor.name, file)
        values = dequantize(tensor.data, tensor.tensor_type)
        if not np.isfinite(values.sum(dtype=np.float32)):
            raise InputError(f"{file}: tensor {tensor.name} holds NaN or infinite values; get the file again")
        if config["model_type"] == "llama" and part in ("attn_q", "attn_k"):
            heads = config["num_attention_heads" if part == "attn_q" else "num_key_value_heads"]
            values = _halves(values, heads)
        yield f"{name}.{kind}", torch.tensor(values).to(torch.bfloat16)


def _hugging_face_name(name: str, file: Path) -> tuple[str, str, str]:
    """`blk.3.attn_q.weight` -> (`model.layers.3.self_attn.q_proj`, `attn_q`, `weight`)."""
    *path, kind = name.split(".")
    part = path[-1]
    if part not in TENSORS:
        raise InputError(f"{file}: tensor {name} is not one that the decoder knows")
    prefix = f"model.layers.{path[1]}." if path[0] == "blk" else ""
    return prefix + TENSORS[part], part, kind


def _halves(weight: NDArray[Any], heads: int) -> NDArray[Any]:
    """GGUF keeps Llama's rotary pairs interleaved within each head; put the two halves one after the other."""
    pairs = weight.reshape(heads, -1, 2, *weight.shape[1:])
    return np.swapaxes(pairs, 1, 2).reshape(weight.shape)


def _save_tokenizer(file: Path, out: Path) -> None:
    from transformers import AutoTokenizer  # two seconds to import, and needed once

    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(out)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.gguf", description="Convert a GGUF into a model folder.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    try:
        convert(args.file, args.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
