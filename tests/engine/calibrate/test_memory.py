"""What a model takes on a GPU: against known numbers, and against the engine's own."""

from pathlib import Path

import pytest

from engine.calibrate.gpu_facts import gpu_facts, gpus
from engine.calibrate.memory import KV_SHARE_OF_WHAT_IS_LEFT, Serving, main, memory_check
from engine.config import EngineOptions, ModelShape
from engine.cuda import memory as on_the_gpu
from engine.cuda.limits import TOKEN_BUDGET
from engine.errors import InputError
from engine.footprint import weight_bytes
from engine.quantization import weight_bytes as in_a_cpu
from engine.runner import resolve

MODELS = Path("fixtures/models")
QWEN = ModelShape.from_folder(MODELS / "Qwen3-8B")
LLAMA = ModelShape.from_folder(MODELS / "Llama-3.1-8B")


def test_known_numbers() -> None:
    """8.03 billion weights of two bytes, 144 and 128 KiB of KV a token: as both models' makers state them."""
    assert Serving(LLAMA).weight_bytes == pytest.approx(16.06e9, rel=1e-3)
    assert Serving(LLAMA).kv_bytes_per_token == 128 * 1024
    assert Serving(LLAMA, kv_dtype="fp8").kv_bytes_per_token == 64 * 1024
    assert Serving(QWEN).kv_bytes_per_token == 144 * 1024
    assert Serving(QWEN).weight_bytes == pytest.approx(16.38e9, rel=1e-3)


@pytest.mark.parametrize("kv_dtype", [None, "fp8"])
@pytest.mark.parametrize("ranks", [1, 2, 16])
def test_kv_is_the_engines_own_number(kv_dtype: str | None, ranks: int) -> None:
    options = EngineOptions(dtype="bfloat16", kv_dtype=kv_dtype, tensor_parallel=ranks, num_blocks=2)
    small = ModelShape.from_folder(MODELS / "Qwen3-0.6B")
    config = resolve(small, options)
    serving = Serving(small, kv_dtype=config.kv_dtype, gpus=ranks)
    assert serving.kv_bytes_per_token * ranks == config.kv_bytes_per_token


def test_weights_are_the_engines_own_number_where_nothing_is_copied() -> None:
    for shape in (QWEN, LLAMA):
        for kind in ("none", "fp8"):
            assert weight_bytes(shape, 2, kind) == in_a_cpu(shape, 2, kind)


def test_limits_are_those_of_the_engine_on_a_gpu() -> None:
    assert on_the_gpu.KV_SHARE_OF_WHAT_IS_LEFT == KV_SHARE_OF_WHAT_IS_LEFT
    assert Serving(QWEN).token_budget == TOKEN_BUDGET


def test_everything_adds_up_to_the_gpu() -> None:
    check = memory_check(Serving(QWEN), gpu_facts("H100 SXM"))
    parts = check.weight_bytes + check.runtime_bytes + check.step_bytes + check.graph_bytes + check.kv_bytes
    assert parts == check.gpu.memory_bytes
    assert check.kv_bytes / (64 * check.serving.kv_bytes_per_token) - 1 < check.kv_blocks


def test_batch_and_context_are_each_others_inverse() -> None:
    check = memory_check(Serving(QWEN), gpu_facts("L4"))
    batch = check.largest_batch(4096)
    assert check.longest_context(batch) >= 4096 > check.longest_context(batch + 1)
    assert check.largest_batch(4097) < check.largest_batch(4096) * 1.02, "a block more, not less"
    assert memory_check(Serving(QWEN), gpu_facts("B200")).longest_context(1) == QWEN.max_position
    wide = memory_check(Serving(QWEN, kv_dtype="fp8"), gpu_facts("L4"))
    assert wide.largest_batch(4096) == pytest.approx(2 * batch, abs=2)


def test_two_gpus_share_weights_and_heads() -> None:
    one, two = (memory_check(Serving(LLAMA, gpus=count), gpu_facts("L40S")) for count in (1, 2))
    embedding = LLAMA.vocab * LLAMA.hidden * 2
    assert two.weight_bytes == (one.weight_bytes + embedding) / 2
    assert two.serving.kv_bytes_per_token == one.serving.kv_bytes_per_token / 2
    assert two.kv_tokens > 2 * one.kv_tokens


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"dtype": "float32"}, r"does not fit on 1 × L4: each would hold 30\.5 GiB of weights.*it would on 2"),
        ({"dtype": "bf16"}, "dtype is 'bf16'; it must be float32, bfloat16"),
        ({"quantization": "awq"}, "quantization is 'awq'; it must be none, int8, fp8"),
        ({"kv_dtype": "int4"}, "kv_dtype is 'int4'"),
        ({"gpus": 0}, "gpus is 0; it must be at least 1"),
        ({"gpus": 3}, "tensor_parallel is 3; .* dealt out to 1 or 2 or 4 or 8"),
    ],
)
def test_nonsense_is_refused(how: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        memory_check(Serving(QWEN, **how), gpu_facts("L4"))  # type: ignore[arg-type]


def test_a_context_the_model_does_not_take_and_no_batch() -> None:
    check = memory_check(Serving(QWEN), gpu_facts("L4"))
    with pytest.raises(InputError, match="context is 50000; this model takes 1 to 40960"):
        check.largest_batch(50_000)
    with pytest.raises(InputError, match="batch is 0"):
        check.longest_context(0)


def test_gpus_are_found_by_the_names_drivers_give_them() -> None:
    assert gpu_facts("NVIDIA A100-SXM4-80GB").name == "A100 80GB SXM"
    assert gpu_facts(" h200 ").name == "H200 SXM"
    with pytest.raises(InputError, match="H100 may be H100 NVL or H100 PCIe or H100 SXM; say which"):
        gpu_facts("H100")
    with pytest.raises(InputError, match=r"GPU 'TPU' is not in gpus\.json; known are A10"):
        gpu_facts("TPU")
    names = [name.casefold() for gpu in gpus() for name in {gpu.name, *gpu.aliases}]
    assert len(set(names)) == len(names), "a name means one GPU"
    assert all(gpu.source and gpu.memory_mib > 20_000 for gpu in gpus())


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--model", str(MODELS / "Qwen3-8B"), "--gpu", "H100 SXM", "--context", "8192", "--batch", "10"]
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert "Qwen3-8B, bfloat16, KV in bfloat16, on 1 × H100 SXM" in shown
    assert "15.26 GiB" in shown
    assert "           8,192   50\n" in shown
    assert "10 at once may have 40,960 tokens each" in shown
    assert main([*asked[:3], "H100"]) == 2
    refused = capsys.readouterr()
    assert refused.out == ""
    assert refused.err.count("\n") == 1
