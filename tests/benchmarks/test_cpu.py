"""The comparison on this CPU: what it measures, what it says of it, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch
import transformers

from benchmarks import cpu

OURS, STATIC = "costadvisor bf16", "transformers static batch"


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def turn(seconds: float, others: float | None = 0.0) -> cpu.Taken:
    during = {"others_cores_before": 0.0, "others_cores_during": others}
    return {"seconds": seconds, "prefill_s": 0.5, "runs": 1, "software": {"torch": "1"}} | during


def contender(name: str) -> cpu.Contender:
    return next(one for one in cpu.CONTENDERS if one.name == name)


def test_two_contenders_in_turn_make_a_table_and_json(
    small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cpu.json"
    sizes = ["--requests", "2", "--input-tokens", "8", "--output-tokens", "4", "--threads", "1"]
    quick = ["--rounds", "1", "--least-s", "0", "--only", OURS, STATIC]
    cpu.main(["--model", str(small_model), *sizes, *quick, "--out", str(out)])

    result = json.loads(out.read_text())
    [each] = result["workloads"]
    assert [row["contender"] for row in each["rows"]] == [OURS, STATIC]
    assert all(row["output_tokens_per_s"]["median"] > 0 and row["prefill_s"]["median"] > 0 for row in each["rows"])
    assert each["rows"][1]["software"]["transformers"] == transformers.__version__
    assert result["machine"]["cores"] >= 1
    printed = capsys.readouterr().out
    assert "2 x (8 in + 4 out)" in printed
    assert "llama.cpp (name its environment with --llama-cpp-python)" in printed


def test_rows_are_medians_over_turns_and_ours_over_theirs(
    small_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = cpu.arguments(["--model", str(small_model), "--output-tokens", "64"])
    turns = {
        contender(OURS): [turn(1.0), turn(2.0, 0.3), turn(4.0)],
        contender(STATIC): [turn(4.0, None), turn(8.0, None), turn(2.0, None)],
    }
    each = cpu.workload(args, 16, turns)

    ours, static = each["rows"]
    assert ours["output_tokens_per_s"] == {"median": 512.0, "min": 256.0, "max": 1024.0}
    assert ours["decode_step_ms"]["median"] == pytest.approx(1.5 / 63 * 1000, abs=1e-4)
    assert ours["others_cores_during"] == 0.3
    assert static["ours_to_theirs"] == {OURS: 2.0}
    assert static["others_cores_during"] is None
    cpu.print_table(each)
    assert "0.00, unknown" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--model", "nowhere"], "nowhere has no config.json"),
        (["--model", "nowhere", "--vllm-python", "no/python"], "--vllm-python: there is no interpreter no/python"),
        (["--model", "nowhere", "--llama-cpp-python", "no/python"], "--llama-cpp-python needs --gguf"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_does(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        cpu.main(argv)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


def test_a_contender_that_fails_is_named_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"vocab_size": 320}')
    with pytest.raises(SystemExit, match=r"(?s)costadvisor bf16 failed.*model family"):
        cpu.main(["--model", str(tmp_path), "--only", OURS])
