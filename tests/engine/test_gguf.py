"""GGUF conversion: the same tensors that transformers reads from the same file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType, GGUFWriter, quantize
from numpy.typing import NDArray
from safetensors.torch import load_file

from engine.config import ModelShape
from engine.errors import InputError
from engine.gguf import convert, converted
from engine.rotary import rotary_table

SMOLLM2_GGUF = Path("var/models/SmolLM2-135M-Instruct.Q4_1.gguf")


def test_converted_smollm2_equals_what_transformers_reads(smollm2: Path) -> None:
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        SMOLLM2_GGUF.parent, gguf_file=SMOLLM2_GGUF.name, dtype=torch.float32
    ).state_dict()
    ours = load_file(smollm2 / "model.safetensors")
    assert len(ours) == 272
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name].to(torch.bfloat16)), name


def test_converted_once(tmp_path: Path, smollm2: Path) -> None:
    link = tmp_path / "smol.gguf"
    link.symlink_to(SMOLLM2_GGUF.resolve())
    folder = converted(link)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert converted(link) == converted(tmp_path / "smol") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    config = json.loads((folder / "config.json").read_text())
    assert (config["num_hidden_layers"], config["rope_theta"], config["eos_token_id"]) == (30, 100000.0, 2)


def test_unknown_architecture_and_broken_file_are_refused(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "falcon.gguf", "falcon")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(
        InputError, match="architecture 'falcon' is not supported in a GGUF; supported are llama, qwen2"
    ):
        convert(tmp_path / "falcon.gguf", tmp_path / "out")
    (tmp_path / "noise.gguf").write_bytes(b"not a model at all, only some text")
    with pytest.raises(InputError, match="not a readable GGUF"):
        converted(tmp_path / "noise.gguf")
    assert not (tmp_path / "out").exists()


HIDDEN, VOCABULARY, HEADS = 256, 8, 4
Array = NDArray[Any]


def write_llama(file: Path, type_name: str, data: Array, extra: dict[str, Array] | None = None) -> None:
    """A one-layer Llama whose matrices of 256 columns are all rows of `data`, stored as `type_name`."""
    kind = GGMLQuantizationType[type_name]
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_context_length(128)
    writer.add_layer_norm_rms_eps(1e-5)
    matrices = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    for name in ["token_embd", *(f"blk.0.{part}" for part in matrices)]:
        rows = VOCABULARY if name == "token_embd" else HIDDEN
        writer.add_tensor(f"{name}.weight", np.resize(data, (rows, data.shape[1])), raw_dtype=kind)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(HIDDEN, dtype=np.float32))
    for name, values in (extra or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def q4_k(block: bytes) -> list[float]:
    """256 values in eight groups of 32: `d * scale * q - dmin * min`, with six-bit scales and minima."""
    d, dmin = np.frombuffer(block[:4], dtype=np.float16).astype(np.float64)
    packed, nibbles = block[4:16], block[16:144]
    values = []
    for group in range(8):
        if group < 4:
            scale, low = packed[group] & 63, packed[group + 4] & 63
        else:
            scale = packed[group + 4] & 15 | packed[group - 4] >> 6 << 4
            low = packed[group + 4] >> 4 | packed[group] >> 6 << 4
        pair = nibbles[group // 2 * 32 : group // 2 * 32 + 32]
        values += [d * scale * (byte >> 4 if group % 2 else byte & 15) - dmin * low for byte in pair]
    return values


def q6_k(block: bytes) -> list[float]:
    """256 values in sixteen groups of 16: `d * scale * (q - 32)`, q of four low bits and two high ones."""
    low, high = block[:128], block[128:192]
    scales, d = np.frombuffer(block[192:208], dtype=np.int8), float(np.frombuffer(block[208:], dtype=np.float16)[0])
    values = []
    for number in range(256):
        half, quarter, place = number // 128, number % 128 // 32, number % 32
        four = low[half * 64 + quarter % 2 * 32 + place] >> (4 if quarter > 1 else 0) & 15
        two = high[half * 32 + place] >> 2 * quarter & 3
        values.append(d * int(scales[number // 16]) * ((four | two << 4) - 32))
    return values


def random_blocks(size: int, halves: slice) -> Array:
    """Eight rows of one random block each, whose float16 scales are made small and finite."""
    data = np.random.default_rng(0).integers(0, 256, (VOCABULARY, size), dtype=np.uint8)
    data[:, halves] = np.full((VOCABULARY, (halves.stop - halves.start) // 2), 0.01, dtype=np.float16).view(np.uint8)
    return data


@pytest.mark.parametrize(
    ("type_name", "size", "halves", "definition"),
    [("Q4_K", 144, slice(0, 4), q4_k), ("Q6_K", 210, slice(208, 210), q6_k)],
)
def test_k_quants_follow_their_definition(
    type_name: str, size: int, halves: slice, definition: Callable[[bytes], list[float]], tmp_path: Path
) -> None:
    data = random_blocks(size, halves)
    write_llama(tmp_path / "model.gguf", type_name, data)
    tensors = load_file(converted(tmp_path / "model.gguf") / "model.safetensors")
    expected = torch.tensor([definition(row.tobytes()) for row in data], dtype=torch.float32)
    torch.testing.assert_close(tensors["model.embed_tokens.weight"].float(), expected, rtol=2**-8, atol=1e-6)
    assert tensors["model.layers.0.mlp.down_proj.weight"].shape == (HIDDEN, HIDDEN)


@pytest.mark.parametrize(
    ("type_name", "error"),
    [("F32", 0.01), ("F16", 0.01), ("BF16", 0.01), ("Q8_0", 0.03), ("Q4_0", 0.5), ("Q4_1", 0.3)],
)
def test_types_that_round_numbers_give_them_back(type_name: str, error: float, tmp_path: Path) -> None:
    """Normal numbers, so of size 3.5 at most; the conversion to bfloat16 alone costs 1/128 of those."""
    values = np.random.default_rng(0).normal(size=(VOCABULARY, HIDDEN)).astype(np.float32)
    write_llama(tmp_path / "model.gguf", type_name, quantize(values, GGMLQuantizationType[type_name]))
    tensors = load_file(converted(tmp_path / "model.gguf") / "model.safetensors")
    difference = tensors["model.embed_tokens.weight"].float() - torch.tensor(values)
    assert float(difference.abs().max()) < error


def test_llama3_rope_factors_divide_the_frequencies(tmp_path: Path) -> None:
    factors = np.linspace(1, 8, HIDDEN // HEADS // 2).astype(np.float32)
    values = np.ones((1, HIDDEN), dtype=np.float32)
    write_llama(tmp_path / "model.gguf", "F32", values, {"rope_freqs.weight": factors})
    shape = ModelShape.from_folder(converted(tmp_path / "model.gguf"))
    table = rotary_table(shape.rope, shape.max_position, torch.float32)
    waves = 10000.0 ** (np.arange(len(factors)) / len(factors))
    for position in (0, 1, 127):
        cos, _ = table.at(torch.tensor([position]))
        np.testing.assert_allclose(cos[0, 0], np.cos(position / waves / factors), atol=1e-4)
    assert shape.longrope_length is None, "one set of factors: no length at which they change"


def test_a_type_that_we_lack_and_a_file_cut_short_are_named(tmp_path: Path) -> None:
    write_llama(tmp_path / "model.gguf", "Q2_K", np.zeros((VOCABULARY, 84), dtype=np.uint8))
    with pytest.raises(InputError, match=r"tensor token_embd.weight is stored as Q2_K.*supported are F32, F16, BF16"):
        converted(tmp_path / "model.gguf")
    whole = tmp_path / "whole.gguf"
    write_llama(whole, "F32", np.ones((1, HIDDEN), dtype=np.float32))
    short = tmp_path / "short.gguf"
    short.write_bytes(whole.read_bytes()[:-5000])
    with pytest.raises(InputError, match="not a readable GGUF"):
        converted(short)
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "short").exists()


@pytest.mark.parametrize("key", ["block_count", "embedding_length", "attention.head_count", "context_length"])
def test_a_file_without_a_size_is_named_with_it(key: str, tmp_path: Path) -> None:
    write_llama(tmp_path / "model.gguf", "F32", np.ones((1, HIDDEN), dtype=np.float32))
    file = tmp_path / "without.gguf"
    name = f"llama.{key}".encode()
    file.write_bytes((tmp_path / "model.gguf").read_bytes().replace(name, name[:-1] + b"_"))
    with pytest.raises(InputError, match=f"{file} has no llama.{key}, which every supported model has"):
        converted(file)
    assert not (tmp_path / "without").exists()


def test_a_tensor_that_is_not_finite_is_named(tmp_path: Path) -> None:
    write_llama(tmp_path / "model.gguf", "F32", np.full((1, HIDDEN), np.nan, dtype=np.float32))
    with pytest.raises(InputError, match=r"tensor token_embd\.weight holds NaN or infinite values"):
        converted(tmp_path / "model.gguf")
    assert not (tmp_path / "model").exists()
