"""Memory, captured steps, and that a steady decode never waits for the GPU but to read tokens."""

from pathlib import Path

import pytest
import torch

from engine.config import EngineOptions
from engine.engine import Engine
from engine.errors import InputError
from engine.request import SamplingParams


@pytest.mark.parametrize("graphs", [True, False])
def test_a_steady_decode_asks_nothing_of_the_gpu_but_its_tokens(models: dict[str, Path], graphs: bool) -> None:
    engine = Engine(models["middling"], EngineOptions(device="cuda", graphs=graphs))
    params = SamplingParams(max_tokens=400, ignore_eos=True, temperature=1.0)
    for number in range(20):
        engine.add([number] * (number + 1), params)
    for _ in range(20):
        engine.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(200):  # past the ends of blocks
            assert engine.step() is not None
    finally:
        torch.cuda.set_sync_debug_mode("default")
        for request in engine.scheduler.live:
            engine.cancel(request)


def test_memory_is_taken_once_and_never_all(models: dict[str, Path]) -> None:
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    engine = Engine(models["middling"], EngineOptions(device="cuda", max_batch=8, num_blocks=100))
    taken = free - torch.cuda.mem_get_info()[0]
    kv = 100 * 64 * engine.config.kv_bytes_per_token
    assert kv < taken < kv + 2**31
    before = torch.cuda.memory_reserved()
    engine.generate([[n] * 200 for n in range(8)], SamplingParams(max_tokens=100, ignore_eos=True))
    assert torch.cuda.memory_reserved() - before < 2**28


def test_blocks_that_do_not_fit_are_refused_by_name(models: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="num_blocks is 100000000"):
        Engine(models["middling"], EngineOptions(device="cuda", num_blocks=100_000_000))


def test_auto_takes_the_gpu(models: dict[str, Path]) -> None:
    engine = Engine(models["middling"], EngineOptions(max_batch=4, num_blocks=20))
    assert (engine.config.device, engine.config.dtype, engine.config.overlap) == ("cuda", "bfloat16", True)
    assert engine.config.graphs > 0
