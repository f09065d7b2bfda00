"""GGUF files, converted once into a model folder (config.json, safetensors, tokenizer) and never read again.

python -m engine.gguf FILE.gguf --out DIR
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from numpy.typing import NDArray
from safetensors.torch import save_file

from engine.errors import InputError

DONE = "config.json"  # written last, so its presence says that a conversion ended well
ARCHITECTURES = ("llama", "qwen2", "qwen3")

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

    Raises InputError for an architecture or a tensor that the decoder does not know.
    """
    if (out / DONE).exists():
        return out
    reader = _open(file)
    config = _config(reader, file)
    out.mkdir(parents=True, exist_ok=True)
    save_file(dict(_tensors(reader, config, file)), out / "model.safetensors", metadata={"format": "pt"})
    _save_tokenizer(file, out)
    (out / DONE).write_text(json.dumps(config, indent=2) + "\n")
    return out


def _open(file: Path) -> GGUFReader:
    try:
        return GGUFReader(file)
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{file} is not a readable GGUF file ({error})") from None


def _config(reader: GGUFReader, file: Path) -> dict[str, Any]:
    """The `config.json` that the file's metadata amounts to."""
    architecture = _field(reader, "general.architecture")
    if architecture not in ARCHITECTURES:
        raise InputError(f"{file}: architecture {architecture!r} is not supported; supported are {ARCHITECTURES}")
    if _field(reader, f"{architecture}.rope.scaling.type") not in (None, "none"):
        raise InputError(f"{file}: rope scaling in a GGUF is not supported; use the model's safetensors folder")
    heads, hidden = (
        _field(reader, f"{architecture}.attention.head_count"),
        _field(reader, f"{architecture}.embedding_length"),
    )
    names = {tensor.name for tensor in reader.tensors}
    vocabulary = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight").shape[1]
    return {
        "model_type": architecture,
        "num_hidden_layers": _field(reader, f"{architecture}.block_count"),
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": _field(reader, f"{architecture}.attention.head_count_kv") or heads,
        "head_dim": _field(reader, f"{architecture}.attention.key_length") or hidden // heads,
        "intermediate_size": _field(reader, f"{architecture}.feed_forward_length"),
        "vocab_size": int(vocabulary),
        "max_position_embeddings": _field(reader, f"{architecture}.context_length"),
        "rms_norm_eps": _field(reader, f"{architecture}.attention.layer_norm_rms_epsilon"),
        "rope_theta": _field(reader, f"{architecture}.rope.freq_base") or 10000.0,
        "tie_word_embeddings": "output.weight" not in names,
        "torch_dtype": "bfloat16",
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
    }


def _field(reader: GGUFReader, name: str) -> Any:
    field = reader.fields.get(name)
    return None if field is None else field.contents()


def _tensors(reader: GGUFReader, config: dict[str, Any], file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for tensor in reader.tensors:
        name, part, kind = _hugging_face_name(tensor.name, file)
        values = dequantize(tensor.data, tensor.tensor_type)
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
