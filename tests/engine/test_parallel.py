"""Tensor parallelism: who reads what, what is refused, and how an engine of several processes ends."""

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine.config import EngineOptions, ModelShape
from engine.engine import Engine
from engine.errors import InputError, RankFailed
from engine.generate import main
from engine.linear import Dense
from engine.model import Weights
from engine.parallel import Lead
from engine.request import Request, SamplingParams
from engine.runner import Runner
from engine.shard import Shard, check_divides
from engine.weights import load_weights
from tests.engine.conftest import SMALL, save_checkpoint

PROMPTS = [[(7 * n + i * i) % 320 for i in range(3 + n)] for n in range(6)]
GREEDY = SamplingParams(max_tokens=16, ignore_eos=True)
LAST_ROW = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint("llama", tmp_path_factory.mktemp("llama"))


def start(model: Path, ranks: int = 2, **options: Any) -> Engine:
    small: dict[str, Any] = {"dtype": "float32", "block_size": 8, "num_blocks": 120}
    return Engine(model, EngineOptions(**small | options, tensor_parallel=ranks))


def runner_of(engine: Engine) -> Runner:
    assert isinstance(engine.runner, Runner)
    return engine.runner


@pytest.fixture(scope="module")
def single(model: Path) -> Engine:
    return start(model, ranks=1)


@pytest.fixture(scope="module")
def pair(model: Path) -> Iterator[Engine]:
    with closing(start(model)) as engine:
        yield engine


def outputs(engine: Engine) -> list[list[int]]:
    return [request.output for request in engine.generate(PROMPTS, GREEDY)]


def ranks_of(engine: Engine) -> list[psutil.Process]:
    group = runner_of(engine)._group
    assert isinstance(group, Lead)
    return [psutil.Process(process.pid) for process in group._processes]


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=10)[1]


SAMPLED = {"max_tokens": 16, "ignore_eos": True, "temperature": 1.2, "top_k": 40, "top_p": 0.9, "min_p": 0.01}


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 3},
        {"repetition_penalty": 1.5, "presence_penalty": 0.5, "logit_bias": {9: 4.0}, "min_tokens": 12},
        {"logprobs": 3, "prompt_logprobs": 2},
    ],
    ids=str,
)
def test_draws_and_scores_are_those_of_one_process(single: Engine, pair: Engine, fields: dict[str, Any]) -> None:
    """Every rank takes part in the logits of a scored prompt, and goes on with what the first drew."""
    params = SamplingParams(**SAMPLED | fields)
    expected, requests = single.generate(PROMPTS, params), pair.generate(PROMPTS, params)
    assert [request.output for request in requests] == [request.output for request in expected]
    for ours, theirs in zip(requests, expected, strict=True):
        for scored, wanted in zip(
            [*ours.prompt_logprobs, *ours.logprobs], [*theirs.prompt_logprobs, *theirs.logprobs], strict=True
        ):
            assert scored.logprob == pytest.approx(wanted.logprob, abs=1e-4)
            assert [token for token, _ in scored.top] == [token for token, _ in wanted.top]


def test_two_engines_of_two_processes_each_in_one_process(model: Path, single: Engine, pair: Engine) -> None:
    with closing(start(model, overlap=True)) as other, ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(outputs, [pair, other]))
        assert runner_of(pair)._group is not runner_of(other)._group
    assert answers == [outputs(single)] * 2


def test_bfloat16_and_dummy_weights_are_the_same_model_in_parts(model: Path) -> None:
    whole = start(model, ranks=1, dummy_weights=True, dtype="bfloat16")
    with closing(start(model, dummy_weights=True, dtype="bfloat16")) as parts:
        params = SamplingParams(max_tokens=1, logprobs=3)
        for ours, theirs in zip(parts.generate(PROMPTS, params), whole.generate(PROMPTS, params), strict=True):
            assert ours.logprobs[0].logprob == pytest.approx(theirs.logprobs[0].logprob, abs=0.05)


def test_fewer_kv_heads_than_ranks(tmp_path: Path) -> None:
    """Four query heads on one KV head, which both ranks keep; the KV memory is counted twice."""
    torch.manual_seed(2)
    config = transformers.LlamaConfig(**SMALL | {"num_attention_heads": 4, "num_key_value_heads": 1})
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(tmp_path)
    whole = start(tmp_path, ranks=1)
    with closing(start(tmp_path)) as parts:
        assert outputs(parts) == outputs(whole)
        assert parts.config.kv_bytes_per_token == 2 * whole.config.kv_bytes_per_token


@pytest.mark.parametrize("name", ["llama-tied-bias", "phi3", "mixtral", "gemma2"])
def test_a_rank_reads_its_part_of_the_files_only(name: str, tmp_path: Path) -> None:
    """What the other rank is to read is NaN, and nobody notices."""
    folder = save_checkpoint(name, tmp_path)
    shape = ModelShape.from_folder(folder)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    whole = load_weights(folder, shape, torch.float32, dummy=False)
    inner = shape.intermediate
    for key, tensor in tensors.items():
        if key.endswith(("down_proj.weight", "w2.weight")):
            tensor[:, : inner // 2] = float("nan")
        if key.endswith(("up_proj.weight", "w3.weight")):
            tensor[: -inner // 2] = float("nan")
        if key.endswith("o_proj.weight"):
            tensor[:, : tensor.shape[1] // 2] = float("nan")
        if key.endswith(("q_proj.weight", "k_proj.weight", "v_proj.bias")):
            tensor[: len(tensor) // 2] = float("nan")
    save_file(tensors, file)
    with pytest.raises(InputError, match="holds NaN"):
        load_weights(folder, shape, torch.float32, dummy=False, shard=Shard(0, 2))
    if shape.packed:  # up lies behind gate, and half of it is to be read
        with pytest.raises(InputError, match=r"gate_up_proj\.weight holds NaN"):
            load_weights(folder, shape, torch.float32, dummy=False, shard=Shard(1, 2))
        return
    part = load_weights(folder, shape, torch.float32, dummy=False, shard=Shard(1, 2))
    (output, head), (part_output, part_head) = (dense(weights) for weights in (whole, part))
    assert torch.equal(part_output.weight, output.weight[:, output.weight.shape[1] // 2 :])
    assert torch.equal(part_head.weight, head.weight[shape.vocab // 2 :])
    assert part_output.bias is None, "the first rank adds it"


def dense(weights: Weights) -> tuple[Dense, Dense]:
    """The first output projection and the head, as float32 weights are kept."""
    output, head = weights.layers[0].output, weights.head
    assert isinstance(output, Dense)
    assert isinstance(head, Dense)
    return output, head


@pytest.mark.parametrize(
    ("heads", "kv_heads", "ranks", "possible"),
    [
        (6, 2, 4, "1 or 2 or 6"),
        (6, 2, 3, "1 or 2 or 6"),
        (3, 1, 2, "1 or 3"),
        (32, 8, 64, "1 or 2 or 4 or 8 or 16 or 32"),
    ],
)
def test_what_the_heads_do_not_divide_is_refused(heads: int, kv_heads: int, ranks: int, possible: str) -> None:
    counts = {"num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": 8}
    config = transformers.LlamaConfig(**SMALL | counts)
    message = f"tensor_parallel is {ranks}; a model of {heads} attention heads and {kv_heads} KV heads can be dealt"
    with pytest.raises(InputError, match=f"{message} out to {possible}$"):
        check_divides(ModelShape.from_config(config.to_dict()), ranks)


def test_what_another_rank_refuses_is_refused_by_the_engine(model: Path, tmp_path: Path) -> None:
    """Only the second rank reads the last row, and says so through the first. No process is left."""
    tensors = load_file(model / "model.safetensors")
    tensors[LAST_ROW][-1, 0] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((model / "config.json").read_text())
    before = set(psutil.Process().children())
    with pytest.raises(InputError, match=f"tensor {LAST_ROW} holds NaN"):
        start(tmp_path)
    assert set(psutil.Process().children()) == before


@pytest.mark.parametrize("victim", [1, 2])
def test_a_rank_that_is_killed_ends_the_engine_with_one_error(victim: int, tmp_path: Path) -> None:
    """It is the one that is named, though those that waited for it end as well."""
    engine = start(save_checkpoint("llama-odd-heads", tmp_path), ranks=3, overlap=True)
    requests = [engine.add(prompt, GREEDY) for prompt in PROMPTS]
    engine.step()
    processes = ranks_of(engine)
    processes[victim - 1].send_signal(signal.SIGKILL)
    message = f"^rank {victim} of 3 broke down: its process ended with code -9; start a new engine$"
    with pytest.raises(RankFailed, match=message):
        for _ in engine.run():
            pass
    assert {request.finish_reason for request in requests} == {"error"}
    assert engine.idle
    with pytest.raises(RankFailed, match=message):
        engine.generate(PROMPTS[:1], GREEDY)
    assert gone(processes)


def test_a_rank_that_fails_says_why(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(model)
    processes = ranks_of(engine)
    group = runner_of(engine)._group
    assert isinstance(group, Lead)
    monkeypatch.setattr(group._teller, "line", lambda note: '{"ended":[5]}')
    with pytest.raises(RankFailed, match=r"^rank 1 of 2 broke down: KeyError: 5; start a new engine$"):
        engine.generate(PROMPTS[:1], GREEDY)
    assert gone(processes)


def test_a_step_that_fails_in_the_engine_itself_ends_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other rank waits for what won't come; nothing computed after that would be right."""
    engine = start(model)
    processes = ranks_of(engine)

    def fail(*_: object) -> None:
        raise MemoryError("no room for the logits")

    monkeypatch.setattr(runner_of(engine)._decoder, "logits", fail)
    with pytest.raises(MemoryError, match="no room"):
        engine.generate(PROMPTS[:1], GREEDY)
    with pytest.raises(RankFailed, match=r"a step failed \(MemoryError: no room for the logits\)"):
        engine.generate(PROMPTS[:1], GREEDY)
    assert gone(processes)


def test_ranks_end_with_an_engine_that_is_closed_or_forgotten(model: Path) -> None:
    engine = start(model)
    closed = ranks_of(engine)
    engine.close()
    assert gone(closed)
    with pytest.raises(RankFailed, match="the engine was closed"):
        engine.generate(PROMPTS[:1], GREEDY)
    engine = start(model)
    forgotten = ranks_of(engine)
    del engine
    gc.collect()
    assert gone(forgotten)


ENDLESS = """
import sys
from pathlib import Path
from engine.config import EngineOptions
from engine.engine import Engine
from engine.request import SamplingParams
engine = Engine(Path(sys.argv[1]), EngineOptions(dtype="float32", tensor_parallel=2, num_blocks=20))
print(*[process.pid for process in engine.runner._group._processes], flush=True)
while True:
    engine.generate([[1, 2, 3]], SamplingParams(max_tokens=400, ignore_eos=True))
"""


def test_ranks_end_with_a_parent_that_is_killed(model: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(model)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        ranks = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(ranks) == 1
        assert ranks[0].is_running()
        parent.kill()
    assert gone(ranks)


def run(model: Path, folder: Path, *flags: str) -> int:
    lines = [json.dumps({"prompt_token_ids": prompt, "max_tokens": 16, "ignore_eos": True}) for prompt in PROMPTS]
    (folder / "in.jsonl").write_text("\n".join(lines))
    command = ["--model", model, "--prompts", folder / "in.jsonl", "--out", folder / "out.jsonl", *flags]
    return main([str(part) for part in [*command, "--dtype", "float32"]])


def test_command_line(model: Path, single: Engine, tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    assert run(model, tmp_path, "--tensor-parallel", "2", "--stats", str(tmp_path / "stats.json")) == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["token_ids"] for line in lines] == outputs(single)
    assert json.loads((tmp_path / "stats.json").read_text())["config"]["tensor_parallel"] == 2
    assert set(psutil.Process().children()) == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--tensor-parallel", "4"],
            "tensor_parallel is 4; a model of 6 attention heads and 2 KV heads can be dealt out",
        ),
        (["--tensor-parallel", "0"], "tensor_parallel is 0; it must be at least 1"),
        (
            ["--tensor-parallel", "2", "--threads", str(os.cpu_count())],
            f"--threads is {os.cpu_count()}, and each of 2 processes uses so many; this machine has",
        ),
    ],
)
def test_command_line_refuses_in_one_line(
    model: Path, flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(model, tmp_path, *flags) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_a_rank_that_dies_under_the_command_line_ends_it_with_1(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add: Callable[..., Request] = Engine.add

    def add_and_kill(engine: Engine, *args: Any, **kwargs: Any) -> Request:
        for process in ranks_of(engine):
            process.kill()
        return add(engine, *args, **kwargs)

    monkeypatch.setattr(Engine, "add", add_and_kill)
    assert run(model, tmp_path, "--tensor-parallel", "2") == 1
    error = capfd.readouterr().err
    assert error == "error: rank 1 of 2 broke down: its process ended with code -9; start a new engine\n"
    assert not (tmp_path / "out.jsonl").exists()
