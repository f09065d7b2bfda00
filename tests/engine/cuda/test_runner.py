"""What the GPU's runner refuses, sends and falls back to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from engine.config import EngineOptions
from engine.cuda import frame, graphs
from engine.cuda.frame import UNKNOWN, Frame, Slots
from engine.cuda.graphs import Captured, Computed, Graphs, buckets
from engine.cuda.memory import room_for
from engine.engine import Engine
from engine.errors import InputError
from engine.request import SamplingParams
from engine.scheduler import Chunk
from kernels import tuning
from tests.engine.conftest import save_model
from tests.engine.cuda.conftest import TINY, start

GREEDY = SamplingParams(max_tokens=4, ignore_eos=True)


@pytest.mark.parametrize("overlap", [False, True])
def test_a_step_ahead_sends_no_token_that_was_not_read(
    models: dict[str, Path], overlap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[list[int]] = []
    tokens_of: Callable[[Chunk], list[int]] = frame._tokens

    def watched(chunk: Chunk) -> list[int]:
        sent.append(tokens_of(chunk))
        return sent[-1]

    monkeypatch.setattr(frame, "_tokens", watched)
    engine = start(models["llama"], overlap=overlap, graphs=False)
    output = engine.generate([[5, 6]], GREEDY)[0].output
    assert sent == [[5, 6], *([[UNKNOWN]] * 3 if overlap else [[token] for token in output[:3]])]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_a_large_capture_without_memory_does_not_cost_the_small_ones(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, error: type[RuntimeError]
) -> None:
    """Whatever else fails a capture would fail the others, too."""
    capture = Graphs._capture

    def fail(self: Graphs, room: Frame, compute: Callable[[Frame], Computed]) -> Captured:
        if len(self) == 0 and self.failure is None:
            raise error("no memory")
        return capture(self, room, compute)

    whole = start(models["llama"], max_batch=2)
    monkeypatch.setattr(Graphs, "_capture", fail)
    engine = start(models["llama"], max_batch=2)
    assert engine.config.graphs == (whole.config.graphs - 1 if error is torch.OutOfMemoryError else 0)
    assert (engine.config.graphs_failure or "").endswith("tokens: no memory")


def test_the_largest_step_has_room_for_sequences_that_outgrow_longrope(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three that began together compute all of their tokens again in one step, beside a full budget."""
    engine = start(models["phi3-longrope"], max_batch=3, token_budget=8, graphs=False)
    runner: Any = engine.runner
    rooms: list[Slots] = []
    compute: Callable[[Frame], Computed] = runner._compute

    def watched(step: Frame) -> Computed:
        rooms.append(step.room)
        return compute(step)

    monkeypatch.setattr(runner, "_compute", watched)
    with torch.inference_mode():
        runner._largest_step()
    engine.generate([[5, 6]] * 3, SamplingParams(max_tokens=12, ignore_eos=True))
    largest, *steps = [room.tokens for room in rooms]
    assert max(steps) == 3 * 11, "or else this shows nothing"
    assert largest >= 8 + 3 * 10


def test_a_capture_that_fails_leaves_the_rest_to_single_kernels(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    capture = Graphs._capture

    def fail(self: Graphs, room: Frame, compute: Callable[[Frame], Computed]) -> Captured:
        if room.room.decodes == 1:
            raise torch.OutOfMemoryError("no memory\nand a long story")
        return capture(self, room, compute)

    whole = start(models["llama"], max_batch=2)
    with monkeypatch.context() as patch:
        patch.setattr(Graphs, "_capture", fail)
        engine = start(models["llama"], max_batch=2)
    assert engine.config.graphs == whole.config.graphs - 1
    assert engine.config.graphs_failure == "1 decodes, 1 tokens: no memory"
    assert len(caplog.records) == 1
    assert engine.generate([[5]], GREEDY)[0].output == whole.generate([[5]], GREEDY)[0].output


@pytest.mark.parametrize("rows", [1, 3, 64, 100, 256])
def test_buckets_hold_every_small_step_with_little_to_spare(rows: int) -> None:
    every = list(buckets(rows, 2048))
    for decodes in range(1, rows + 1):
        least = min(room.tokens for room in every if room.holds(decodes, 0, 0))
        assert least < decodes + max(8, decodes / 8)
        assert any(room.holds(decodes, graphs.PROMPT_CHUNKS - 1, graphs.PROMPT_TOKENS[-1]) for room in every)
    assert not any(room.holds(1, graphs.PROMPT_CHUNKS, 1) for room in every), "one chunk is the padding's"
    assert all(room.decodes % 4 == 0 for room in every if room.chunks), "else chunks begin at an odd address"
    assert len(every) < 50
    assert Slots(4, 8, 20).holds(4, 7, 16)
    assert not Slots(4, 8, 20).holds(4, 7, 17)


def test_what_the_kernels_cannot_compute_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    odd = save_model(transformers.LlamaConfig(**TINY | {"head_dim": 24}), tmp_path)
    for model, options, words in (
        (odd, {}, "head_dim is 24; on a GPU it must be a power of two: use --device cpu"),
        (models["llama"], {"block_size": 12}, "block_size is 12; on a GPU it must be a multiple of 8"),
        (models["llama"], {"num_blocks": 10**9}, "num_blocks is 1000000000, a KV cache of"),
    ):
        asked: dict[str, Any] = {"device": "cuda", "block_size": 8} | options
        with pytest.raises(InputError, match=words):
            Engine(model, EngineOptions(**asked))


@pytest.mark.parametrize("asked", [{"kv_dtype": "fp8"}, {"quantization": "fp8"}], ids=str)
def test_a_gpu_without_float8_says_so(
    models: dict[str, Path], asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "ABSENT", tuning.Device(multiprocessors=108, capability=80))
    tuning.device_of.cache_clear()
    try:
        with pytest.raises(InputError, match=r"fp8 needs a GPU of compute capability 8\.9 or later; this one has 8\.0"):
            start(models["llama"], **asked)
        start(models["llama"], quantization="int8")
    finally:
        tuning.device_of.cache_clear()


def test_memory_that_does_not_suffice_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3 * 2**30, 80 * 2**30))
    words = r"memory for the weights: 3\.0 of 80\.0 GiB are free; use a smaller model"
    with pytest.raises(InputError, match=words), room_for("the weights", "use a smaller model"):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_a_step_without_memory_says_so_and_the_engine_goes_on(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start(models["llama"], graphs=False)

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine.runner, "_compute", fail)
        with pytest.raises(MemoryError, match="no memory left for a step of 2 tokens"):
            engine.generate([[5, 6]], GREEDY)
    assert engine.idle
    assert len(engine.generate([[5, 6]], GREEDY)[0].output) == 4
