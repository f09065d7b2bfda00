"""Weights from sharded and damaged folders, and from none."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine.config import EngineOptions, ModelShape
from engine.engine import Engine
from engine.errors import InputError
from engine.request import SamplingParams
from engine.weights import load_weights
from tests.engine.conftest import CHECKPOINTS, GEMMA, save_checkpoint
from tests.engine.test_equality import oracle

PROMPT = list(range(2, 40))


def tokens(folder: Path, *, dummy: bool = False) -> list[int]:
    engine = Engine(folder, EngineOptions(dtype="float32", num_blocks=4, dummy_weights=dummy))
    return engine.generate([PROMPT], SamplingParams(max_tokens=12))[0].output


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_weights(folder, ModelShape.from_folder(folder), torch.float32, dummy=False)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A checkpoint in several files with an index, as large models are published."""
    folder = save_checkpoint("llama", tmp_path / "whole")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="200KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    return tmp_path / "sharded"


def test_a_sharded_checkpoint_is_the_whole_one(sharded: Path) -> None:
    assert tokens(sharded) == tokens(sharded.parent / "whole")


def test_missing_shards_are_named(sharded: Path) -> None:
    gone = sorted(sharded.glob("*.safetensors"))[1]
    gone.unlink()
    message = refusal(sharded)
    assert gone.name in message
    assert "lacks 1 of the" in message


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}', "{}"])
def test_a_damaged_index_is_named(sharded: Path, text: str) -> None:
    (sharded / "model.safetensors.index.json").write_text(text)
    assert 'must be JSON with a "weight_map"' in refusal(sharded)


@pytest.mark.parametrize("length", [0, 5, 100, -1000])
def test_a_file_cut_short_is_named(tmp_path: Path, length: int) -> None:
    file = save_checkpoint("llama", tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    assert f"{file} is damaged or cut short" in refusal(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_tensor_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    file = save_checkpoint("llama", tmp_path) / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = value
    save_file(tensors, file)
    assert "tensor model.layers.1.mlp.up_proj.weight holds NaN or infinite values" in refusal(tmp_path)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_dummy_weights_need_a_config_alone(name: str, tmp_path: Path) -> None:
    CHECKPOINTS[name].save_pretrained(tmp_path)
    assert len(tokens(tmp_path, dummy=True)) == 12


def test_gemma3_with_a_vision_tower_is_served_as_text(tmp_path: Path) -> None:
    """As the makers publish it (`language_model.model.…`) and as transformers 5 keeps it (`model.language_model.…`)."""
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = vision | {"image_size": 28, "patch_size": 14}
    config = transformers.Gemma3Config(text_config=GEMMA | {"tie_word_embeddings": True}, vision_config=sizes)
    torch.manual_seed(1)
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(tmp_path)
    expected = oracle(tmp_path, (tuple(PROMPT),), 12)[0]
    assert tokens(tmp_path) == expected
    file = tmp_path / "model.safetensors"
    published = load_file(file)
    renamed = {name.replace("language_model.model.", "model.language_model."): t for name, t in published.items()}
    assert renamed.keys() != published.keys()
    save_file(renamed, file)
    assert tokens(tmp_path) == expected
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "gemma3"


def test_weights_larger_than_the_memory_are_refused_before_they_are_read(tmp_path: Path) -> None:
    config = transformers.LlamaConfig(hidden_size=2**17, intermediate_size=2**19, num_hidden_layers=1000)
    config.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"not enough memory for the weights: they take \d+\.\d GiB"):
        Engine(tmp_path, EngineOptions(dtype="bfloat16", dummy_weights=True))


@pytest.mark.parametrize(("dtype", "name"), [(torch.int8, "I8"), (torch.float8_e4m3fn, "F8_E4M3")])
def test_a_tensor_of_a_type_that_needs_scales_is_named(tmp_path: Path, dtype: torch.dtype, name: str) -> None:
    file = save_checkpoint("llama", tmp_path) / "model.safetensors"
    tensors = load_file(file)
    key = "model.layers.1.mlp.up_proj.weight"
    save_file(tensors | {key: tensors[key].to(dtype)}, file)
    assert f"tensor {key} is stored as {name}, which is not supported; supported are F64, F32" in refusal(tmp_path)
