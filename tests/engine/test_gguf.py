"""GGUF conversion: the same tensors that transformers reads from the same file."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from gguf import GGUFWriter
from safetensors.torch import load_file

from engine.errors import InputError
from engine.gguf import convert, converted

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
    with pytest.raises(InputError, match="architecture 'falcon' is not supported"):
        convert(tmp_path / "falcon.gguf", tmp_path / "out")
    (tmp_path / "noise.gguf").write_bytes(b"not a model at all, only some text")
    with pytest.raises(InputError, match="not a readable GGUF"):
        converted(tmp_path / "noise.gguf")
    assert not (tmp_path / "out").exists()
