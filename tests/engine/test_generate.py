"""The command line `python -m engine.generate`: sampling, stopping, and everything it refuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.engine import Engine
from engine.generate import main
from tests.engine.conftest import save_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint("llama", tmp_path_factory.mktemp("llama"))


def run(model: Path, lines: list[Any], folder: Path, *flags: str) -> int:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / "in.jsonl").write_text(text)
    return main(
        ["--model", str(model), "--prompts", str(folder / "in.jsonl"), "--out", str(folder / "out.jsonl"), *flags]
    )


def outputs(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def test_output_lines_have_the_documented_keys_in_input_order(model: Path, tmp_path: Path) -> None:
    lines = [{"prompt_token_ids": [5] * 40, "max_tokens": 9}, {"prompt_token_ids": [6], "max_tokens": 1}]
    assert run(model, lines, tmp_path, "--ignore-eos") == 0
    first, second = outputs(tmp_path)
    assert list(first) == ["index", "token_ids", "text", "finish_reason", "prompt_tokens", "cached_tokens"]
    assert (first["index"], first["prompt_tokens"], len(first["token_ids"])) == (0, 40, 9)
    assert (second["index"], second["prompt_tokens"], len(second["token_ids"])) == (1, 1, 1)
    assert first["text"] is None, "the checkpoint has no tokenizer, and an unknown text is not an empty one"


def test_stops_at_eos_unless_told_to_ignore_it(model: Path, tmp_path: Path) -> None:
    greedy = {"prompt_token_ids": [7, 8, 9], "max_tokens": 12}
    assert run(model, [greedy], tmp_path, "--ignore-eos") == 0
    free = outputs(tmp_path)[0]["token_ids"]
    config = json.loads((model / "generation_config.json").read_text())
    stopping = tmp_path / "stopping"
    stopping.mkdir()
    for file in model.iterdir():
        (stopping / file.name).symlink_to(file)
    (stopping / "generation_config.json").unlink()
    (stopping / "generation_config.json").write_text(json.dumps(config | {"eos_token_id": [free[4], 1]}))
    assert run(stopping, [greedy, greedy | {"ignore_eos": True}], tmp_path) == 0
    stopped, ignored = outputs(tmp_path)
    end = free.index(free[4]) + 1
    assert (stopped["token_ids"], stopped["finish_reason"]) == (free[:end], "stop")
    assert (ignored["token_ids"], ignored["finish_reason"]) == (free, "length")


def test_a_seed_draws_the_same_whatever_else_is_in_the_batch(model: Path, tmp_path: Path) -> None:
    drawn = {"prompt_token_ids": [3, 4, 5], "temperature": 1.5, "seed": 11, "max_tokens": 20, "ignore_eos": True}
    others = [{"prompt_token_ids": [n] * n, "temperature": 0.7, "max_tokens": 20} for n in range(2, 9)]
    assert run(model, [drawn, drawn | {"seed": 12}], tmp_path, "--dtype", "float32") == 0
    alone, other_seed = [line["token_ids"] for line in outputs(tmp_path)]
    assert run(model, [*others, drawn], tmp_path, "--dtype", "float32", "--token-budget", "8") == 0
    assert outputs(tmp_path)[-1]["token_ids"] == alone
    assert alone != other_seed


def test_top_k_1_and_tiny_top_p_are_greedy(model: Path, tmp_path: Path) -> None:
    line = {"prompt_token_ids": [3, 4, 5], "max_tokens": 16, "ignore_eos": True}
    ways = [line, line | {"temperature": 2.0, "top_k": 1}, line | {"temperature": 2.0, "top_p": 1e-9}]
    assert run(model, ways, tmp_path, "--dtype", "float32") == 0
    greedy, top_k, top_p = [line["token_ids"] for line in outputs(tmp_path)]
    assert greedy == top_k == top_p


def test_dummy_weights_need_a_config_only(tmp_path: Path, model: Path) -> None:
    (tmp_path / "config.json").write_text((model / "config.json").read_text())
    line = {"prompt_token_ids": [1, 2], "max_tokens": 3, "ignore_eos": True}
    assert run(tmp_path, [line], tmp_path, "--dummy-weights") == 0
    assert len(outputs(tmp_path)[0]["token_ids"]) == 3
    assert run(tmp_path, [line], tmp_path) == 2


GOOD = {"prompt_token_ids": [1, 2, 3]}


@pytest.mark.parametrize(
    ("lines", "flags", "words"),
    [
        ([], [], "has no lines"),
        ([GOOD, "{oops"], [], "line 2 is not JSON"),
        ([{"text": "hi"}], [], "line 1 must be an object with exactly one of prompt, messages, prompt_token_ids"),
        ([{"prompt": "hi", **GOOD}], [], "line 1 must be an object with exactly one of"),
        ([{"prompt": "hi"}], [], "has no tokenizer: give prompt_token_ids"),
        (
            [{"messages": [{"role": "user", "content": "hi"}]}],
            [],
            "has no chat template: give prompt or prompt_token_ids",
        ),
        ([{"messages": "hi"}], [], 'messages is \'hi\'; it must be a list of {"role": "user", "content"'),
        ([{"messages": [{"role": "user"}]}], [], "messages is [{'role': 'user'}]; it must be a list of"),
        ([{"prompt_token_ids": []}], [], "line 1: the prompt is empty"),
        ([{"prompt_token_ids": [1, 320]}], [], "whole numbers from 0 to 319"),
        ([{"prompt_token_ids": [1, -1]}], [], "whole numbers from 0 to 319"),
        ([{"prompt_token_ids": [1.5]}], [], "whole numbers from 0 to 319"),
        (
            [GOOD | {"max_token": 3}],
            [],
            "unknown field 'max_token'; known are prompt, messages, prompt_token_ids, priority, max_tokens",
        ),
        ([GOOD | {"max_tokens": 0}], [], "max_tokens is 0; it must be a whole number from 1 up"),
        ([GOOD | {"max_tokens": "3"}], [], "max_tokens is '3'; it must be a whole number from 1 up"),
        ([GOOD | {"temperature": -1}], [], "temperature is -1; it must be a number from 0 up"),
        ([GOOD | {"temperature": float("nan")}], [], "temperature is nan"),
        ([GOOD | {"top_p": 0}], [], "top_p is 0; it must be above 0 and at most 1"),
        ([{"prompt_token_ids": 7}], [], "prompt_token_ids is 7; it must be a list of token ids"),
        ([GOOD | {"priority": "high"}], [], "priority is 'high'; it must be a whole number"),
        ([GOOD | {"min_tokens": 200}], [], "min_tokens is 200; it must be at most max_tokens, 128"),
        ([GOOD | {"top_k": 1.5}], [], "top_k is 1.5; it must be 0 (all) or a count"),
        ([GOOD | {"min_p": 1.5}], [], "min_p is 1.5; it must be a number from 0 to 1"),
        ([GOOD | {"repetition_penalty": 0}], [], "repetition_penalty is 0; it must be a number above 0"),
        ([GOOD | {"presence_penalty": 3}], [], "presence_penalty is 3; it must be a number from -2 to 2"),
        ([GOOD | {"frequency_penalty": True}], [], "frequency_penalty is True; it must be a number from -2 to 2"),
        ([GOOD | {"logit_bias": {"x": 1}}], [], "must be token ids with a number from -100 to 100 each"),
        ([GOOD | {"logit_bias": {"7": 101}}], [], "must be token ids with a number from -100 to 100 each"),
        ([GOOD | {"logit_bias": {"320": 1}}], [], "logit_bias names token 320; the last of this model is 319"),
        ([GOOD | {"logit_bias": [7]}], [], "logit_bias is [7]; it must be token ids"),
        ([GOOD | {"stop": [""]}], [], "stop is ['']; it must be a text, or a list of texts, none of them empty"),
        ([GOOD | {"stop": 5}], [], "stop is 5; it must be a text, or a list of texts"),
        ([GOOD | {"stop": "."}], [], "has no tokenizer, which stop texts and json_schema need"),
        ([GOOD | {"stop_token_ids": [400]}], [], "stop_token_ids names token 400; the last of this model is 319"),
        ([GOOD | {"stop_token_ids": 4}], [], "stop_token_ids is 4; it must be a list of token ids"),
        ([GOOD | {"logprobs": 65}], [], "logprobs is 65; it must be a whole number from 0 to 64"),
        ([GOOD | {"prompt_logprobs": -1}], [], "prompt_logprobs is -1; it must be a whole number from 0 to 64"),
        ([GOOD | {"json_schema": "{}"}], [], "json_schema is '{}'; it must be a JSON schema (an object)"),
        ([GOOD | {"json_schema": {}}], [], "has no tokenizer, which stop texts and json_schema need"),
        ([GOOD | {"json_schema": {}, "min_tokens": 2}], [], "min_tokens can't be asked for together with json_schema"),
        (
            [GOOD, {"prompt_token_ids": [1] * 600}],
            [],
            "line 2: prompt of 600 tokens and max_tokens 128 exceed the model",
        ),
        ([GOOD], ["--num-blocks", "2"], "need 3 KV blocks of 64 tokens, but only 1 exist; raise --num-blocks to 4"),
        ([GOOD], ["--num-blocks", str(10**9)], "of memory are free; ask for at most"),
        ([GOOD], ["--num-blocks", "1"], "num_blocks is 1; it must be at least 2"),
        ([GOOD], ["--token-budget", "0"], "token_budget is 0; it must be at least 1"),
        ([GOOD], ["--threads", "9999"], "--threads is 9999; this machine has"),
        ([GOOD], ["--stats", "/nowhere/stats.json"], "folder /nowhere does not exist"),
        ([GOOD], ["--stats", "/etc"], "/etc is a folder: name a file in it"),
    ],
)
def test_refused_in_one_line_with_nothing_written(
    model: Path, lines: list[Any], flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(model, lines, tmp_path, *flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error
    assert not (tmp_path / "out.jsonl").exists()


def test_a_wrong_field_is_refused_before_a_model_is_loaded(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.generate.Engine", None)
    for wrong in ({"max_tokens": 0}, {"priority": 1.5}, {"temprature": 1}):
        assert run(model, [GOOD, GOOD | wrong], tmp_path) == 2
        assert f"line 2: {'unknown field' if 'temprature' in wrong else next(iter(wrong))}" in capsys.readouterr().err


def test_blank_lines_and_a_byte_order_mark_are_no_prompts(tmp_path: Path, model: Path) -> None:
    line = json.dumps(GOOD | {"max_tokens": 2, "ignore_eos": True})
    prompts = tmp_path / "in.jsonl"
    prompts.write_bytes(f"\ufeff{line}\r\n\n  \n{line}\n\n".encode())
    arguments = ["--model", str(model), "--prompts", str(prompts), "--out", str(tmp_path / "out.jsonl")]
    assert main([*arguments, "--dtype", "float32"]) == 0
    assert [line["index"] for line in outputs(tmp_path)] == [0, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "gpt_neox"}, "model family 'gpt_neox' is not supported; supported are llama"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope scaling 'yarn' is not supported"),
        ({"hidden_size": None}, "has no 'hidden_size'"),
        ({"intermediate_size": 161}, "is (160, 96), but config.json makes it (161, 96)"),
        ({"attention_bias": True}, "has no tensor model.layers.0.self_attn.q_proj.bias"),
        ({"num_hidden_layers": "3"}, "num_hidden_layers of the model is '3'; it must be a whole number from 1 up"),
        ({"vocab_size": -1}, "vocab_size of the model is -1; it must be a whole number from 1 up"),
        ({"num_attention_heads": 0}, "num_attention_heads of the model is 0; it must be a whole number from 1 up"),
        ({"num_key_value_heads": 4}, "num_key_value_heads of the model is 4; it must divide its 6 attention heads"),
        ({"rms_norm_eps": "small"}, "config.json holds a value of the wrong kind (could not convert string to float"),
        ({"rope_parameters": [1]}, "config.json holds a value of the wrong kind ("),
        ({"rope_parameters": {"rope_type": "linear"}}, "config.json has no 'factor', which every supported model has"),
        ({"eos_token_id": "</s>"}, "config.json is '</s>'; it must be a token id, or a list of them"),
    ],
)
def test_models_that_are_not_there_or_not_ours(
    model: Path, change: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((model / "config.json").read_text()) | change
    config = {key: value for key, value in config.items() if value is not None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(model / "model.safetensors")
    assert run(tmp_path, [GOOD], tmp_path) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("config.json", "", "config.json is not JSON (Expecting value"),
        ("config.json", "[]", "config.json holds a list; it must be a JSON object"),
        ("generation_config.json", "{", "generation_config.json is not JSON (Expecting property name"),
        ("generation_config.json", "[1]", "generation_config.json holds a list; it must be a JSON object"),
        ("generation_config.json", '{"eos_token_id": [1, "x"]}', "eos_token_id in"),
        ("tokenizer.json", "{", "can't be read (Expecting property name"),
        ("tokenizer_config.json", "{", "can't be read (Expecting property name"),
    ],
)
def test_files_of_a_model_that_are_damaged(
    model: Path, file: str, text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(model / name)
    (tmp_path / file).unlink(missing_ok=True)
    (tmp_path / file).write_text(text)
    assert run(tmp_path, [GOOD], tmp_path) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.xdist_group("smollm2")
def test_messages_are_written_out_by_the_models_own_template(smollm2: Path, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "What is gravity?"}]
    written = (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert run(smollm2, [{"messages": messages}, {"prompt": written}], tmp_path, "--max-tokens", "4") == 0
    chat, plain = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    assert chat["token_ids"] == plain["token_ids"]
    assert chat["prompt_tokens"] == plain["prompt_tokens"] > 30


@pytest.mark.xdist_group("smollm2")
@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('roles must alternate') }}", "fails for these messages (roles must alternate)"),
        ("{% for %}", "fails for these messages (Expected"),
        ("{{ messages[5].content }}", "fails for these messages ("),
    ],
)
def test_a_chat_template_that_fails_is_named(
    smollm2: Path, template: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in smollm2.iterdir():
        (tmp_path / path.name).symlink_to(path.absolute())
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "chat_template.jinja").write_text(template)
    assert run(tmp_path, [{"messages": [{"role": "user", "content": "hi"}]}], tmp_path) == 2
    error = capsys.readouterr().err
    assert f"line 1: the chat template in {tmp_path} {words}" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_prompts_that_are_no_text(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_bytes(b"\xff\xfe")
    out = tmp_path / "out.jsonl"
    assert main(["--model", str(model), "--prompts", str(prompts), "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"error: {prompts} is not text in UTF-8: give a file with a prompt on each line\n"
    assert not out.exists()


def test_the_prompts_are_not_written_over(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps(GOOD))
    assert main(["--model", str(model), "--prompts", str(prompts), "--out", str(prompts)]) == 2
    assert "has the prompts in it: write to another file" in capsys.readouterr().err
    assert json.loads(prompts.read_text()) == GOOD


def test_an_interrupt_is_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Engine) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "step", interrupted)
    assert run(model, [GOOD], tmp_path) == 130
    assert capsys.readouterr().err == "stopped: no output was written\n"
    assert not (tmp_path / "out.jsonl").exists()


def test_missing_model_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nowhere", [GOOD], tmp_path) == 2
    assert "nowhere does not exist" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_is_refused_without_one(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET")  # which would run the GPU's code without one
    assert run(model, [GOOD], tmp_path, "--device", "cuda") == 2
    assert "torch finds no CUDA GPU on this machine; use --device cpu" in capsys.readouterr().err


def test_the_plan_of_the_engine_imports_no_torch() -> None:
    modules = "engine, engine.config, engine.request, engine.kv_cache, engine.scheduler, engine.stats, engine.calibrate"
    script = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
