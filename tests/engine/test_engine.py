"""The engine's interfaces: from threads, from an event loop, several engines at once, cancelled at any moment."""

import asyncio
import gc
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.config import EngineOptions
from engine.engine import Engine, Output
from engine.errors import InputError
from engine.model import Decoder
from engine.request import SamplingParams, State
from tests.engine.conftest import save_checkpoint

PROMPTS = [[(7 * n + i * i) % 320 for i in range(3 + n)] for n in range(12)]
GREEDY = SamplingParams(max_tokens=20, ignore_eos=True)
both_loops = pytest.mark.parametrize("overlap", [False, True])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def expected(model: Path) -> list[list[int]]:
    engine = start(model)
    return [engine.generate([prompt], GREEDY)[0].output for prompt in PROMPTS]


def start(model: Path, **options: Any) -> Engine:
    small: dict[str, Any] = {"dtype": "float32", "block_size": 8, "num_blocks": 120}
    return Engine(model, EngineOptions(**small | options))


def settled(engine: Engine) -> bool:
    engine.scheduler.check()
    return engine.idle and engine.scheduler.pool.available == engine.scheduler.pool.capacity


@both_loops
def test_threads_generate_and_stream_at_the_same_time(model: Path, expected: list[list[int]], overlap: bool) -> None:
    engine = start(model, overlap=overlap, max_batch=4)

    def generate(number: int) -> list[int]:
        return engine.generate([PROMPTS[number]], GREEDY)[0].output

    def stream(number: int) -> list[int]:
        outputs = list(engine.stream(PROMPTS[number], GREEDY))
        assert [output.finish_reason for output in outputs] == [None] * 19 + ["length"]
        assert outputs[0].text is None, "there is no tokenizer, and an unknown text is not an empty one"
        return [output.token for output in outputs if output.token is not None]

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda n: (stream if n % 2 else generate)(n), range(12)))
    assert answers == expected
    assert settled(engine)


def test_an_event_loop_streams_and_a_cancelled_task_frees_its_blocks(model: Path, expected: list[list[int]]) -> None:
    engine = start(model)

    async def collect(number: int) -> list[int]:
        stream = engine.astream(PROMPTS[number], GREEDY)
        return [output.token async for output in stream if output.token is not None]

    async def main() -> list[list[int]]:
        endless = SamplingParams(max_tokens=400, ignore_eos=True)

        async def drop(number: int) -> None:
            async for _ in engine.astream(PROMPTS[number], endless):
                pass

        dropped = [asyncio.create_task(drop(number)) for number in range(3)]
        kept = [asyncio.create_task(collect(number)) for number in range(12)]
        await asyncio.sleep(0.02)
        for task in dropped:
            task.cancel()
        answers = await asyncio.gather(*kept)
        await asyncio.gather(*dropped, return_exceptions=True)
        return answers

    assert asyncio.run(main()) == expected
    assert settled(engine)


def test_two_engines_in_one_process(model: Path, expected: list[list[int]]) -> None:
    engines = [start(model, max_batch=3), start(model, overlap=True, block_size=16)]
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda engine: [r.output for r in engine.generate(PROMPTS, GREEDY)], engines))
    assert answers == [expected, expected]
    assert all(map(settled, engines))


@both_loops
def test_cancelling_neighbours_changes_nothing(model: Path, expected: list[list[int]], overlap: bool) -> None:
    chance = random.Random(3)
    engine = start(model, overlap=overlap, max_batch=6, num_blocks=40)
    kept = [engine.add(prompt, GREEDY) for prompt in PROMPTS]
    doomed = [engine.add(chance.choice(PROMPTS), SamplingParams(max_tokens=60), priority=-1) for _ in range(12)]
    while not engine.idle:
        result = engine.step()
        assert result is not None
        assert result.tokens, "a step that brought nothing"
        engine.scheduler.check()
        if chance.random() < 0.4 and doomed:
            engine.cancel(doomed.pop(chance.randrange(len(doomed))))
    assert engine.step() is None
    assert [request.output for request in kept] == expected
    assert settled(engine)


def test_leaving_a_stream_early_cancels_it(model: Path) -> None:
    engine = start(model)
    stream = engine.stream(PROMPTS[0], SamplingParams(max_tokens=300, ignore_eos=True))
    assert isinstance(stream, Iterator)
    assert next(stream).token is not None
    stream.close()  # type: ignore[attr-defined]
    assert engine.idle
    assert engine.generate([PROMPTS[1]], GREEDY)[0].finish_reason == "length"


def test_the_driver_thread_ends_with_the_work(model: Path) -> None:
    engine = start(model)
    for _ in range(3):
        list(engine.stream(PROMPTS[0], GREEDY))
    for thread in threading.enumerate():
        if thread.name == "engine":
            thread.join(timeout=60)
    assert "engine" not in [thread.name for thread in threading.enumerate()]


@both_loops
def test_a_failing_step_ends_its_requests_and_nothing_else(
    model: Path, expected: list[list[int]], overlap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start(model, overlap=overlap)

    def fail(*_: object) -> None:
        raise MemoryError("no room for the logits")

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "logits", fail)
        assert list(engine.stream(PROMPTS[0], GREEDY)) == [Output(None, None, None, "error")]
        with pytest.raises(MemoryError, match="no room"):
            engine.generate(PROMPTS[:3], GREEDY)
        assert settled(engine)
    assert [request.output for request in engine.generate(PROMPTS, GREEDY)] == expected


def test_what_a_caller_gets_wrong_is_refused_and_nothing_queued(model: Path) -> None:
    engine = start(model)
    cases: list[tuple[Any, SamplingParams, str]] = [
        ([1, 320], GREEDY, "whole numbers from 0 to 319"),
        ("hello", GREEDY, "as the tokenizer's encode makes of a text"),
        (1, GREEDY, "prompt_token_ids must be a list"),
        ([], GREEDY, "the prompt is empty"),
        ([1], SamplingParams(stop=("x",)), "no tokenizer"),
        ([1] * 200, SamplingParams(max_tokens=400), "exceed the model's length"),
    ]
    for prompt, params, words in cases:
        with pytest.raises(InputError, match=words):
            engine.add(prompt, params)
    assert engine.idle


def test_ten_thousand_requests_with_random_cancels_leave_memory_flat(model: Path) -> None:
    """The second half may take no more than what a few new pools of the allocator would."""
    chance = random.Random(1)
    engine = start(model, overlap=True, num_blocks=90, max_batch=32)
    process = psutil.Process()

    def serve(requests: int) -> int:
        live = []
        for number in range(requests):
            prompt = [chance.randrange(2, 320) for _ in range(chance.randint(1, 20))]
            params = SamplingParams(
                max_tokens=chance.randint(1, 6), temperature=number % 2, logprobs=number % 3 or None
            )
            live.append(engine.add(prompt, params))
            if chance.random() < 0.3:
                engine.cancel(live.pop(chance.randrange(len(live))))
            if len(live) > 40:
                engine.step()
                live = [request for request in live if request.state is not State.FINISHED]
        for _ in engine.run():
            pass
        assert settled(engine)
        gc.collect()
        return process.memory_info().rss

    serve(1000)
    before = serve(4500)
    assert (serve(4500) - before) >> 20 < 8


def test_parameters_may_be_written_as_json_has_them() -> None:
    loose: dict[str, Any] = {"stop": "x", "stop_token_ids": [3, 4], "logit_bias": {"42": -5}}
    exact = SamplingParams(stop=("x",), stop_token_ids=(3, 4), logit_bias={42: -5})
    assert SamplingParams(**loose) == SamplingParams.from_json(loose) == exact
    assert SamplingParams(**loose | {"stop": ["x"]}) == exact
    refused: list[dict[str, Any]] = [{"stop": 5}, {"stop": [""]}, {"stop_token_ids": ["a"]}, {"logit_bias": {"a": 1}}]
    for wrong in refused:
        with pytest.raises(InputError, match=f"^{next(iter(wrong))} is"):
            SamplingParams(**wrong)
