"""NVML, as a GPU would answer: there is none where the tests run."""

import ctypes
import itertools
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from engine import nvml
from engine.calibrate.gpu import GpuWatch
from engine.calibrate.record_parts import GpuSamples
from engine.nvml import NoGpu


class Card:
    """Answers NVML's questions; a name without an answer is not supported, as on many cards."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.energy_mj = itertools.count(1_000_000, 60_000)
        self.handles: list[str] = []
        self.processes = 3
        reasons = [0, pynvml.nvmlClocksEventReasonSwPowerCap, pynvml.nvmlClocksEventReasonGpuIdle]
        self.throttles = itertools.cycle(reasons)
        answers: dict[str, Callable[..., Any]] = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlSystemGetDriverVersion": lambda: "999.1",
            "nvmlDeviceGetHandleByUUID": self.handles.append,
            "nvmlDeviceGetName": lambda handle: "Example H200",
            "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=141 * 2**30),
            "nvmlDeviceGetPowerManagementLimit": lambda handle: 700_000,
            "nvmlDeviceGetMaxClockInfo": lambda handle, kind: 1980,
            "nvmlDeviceGetEccMode": lambda handle: [1, 1],
            "nvmlDeviceGetMigMode": self.missing,
            "nvmlDeviceGetComputeRunningProcesses": lambda handle: [SimpleNamespace(pid=1)] * self.processes,
            "nvmlDeviceGetClockInfo": lambda handle, kind: 1500,
            "nvmlDeviceGetTemperature": lambda handle, kind: 61,
            "nvmlDeviceGetPowerUsage": lambda handle: 450_000,
            "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: next(self.throttles),
            "nvmlDeviceGetTotalEnergyConsumption": lambda handle: next(self.energy_mj),
        }
        for name, answer in answers.items():
            monkeypatch.setattr(pynvml, name, answer)
        monkeypatch.setattr(ctypes, "CDLL", lambda name: self)

    def cuInit(self, flags: int) -> int:
        return 0

    def cuDeviceGet(self, device: Any, number: int) -> int:
        device._obj.value = 40 + number
        return 0

    def cuDeviceGetUuid(self, name: Any, device: ctypes.c_int) -> int:
        name.raw = bytes([device.value, *range(15)])
        return 0

    def missing(self, *arguments: object) -> Any:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    monkeypatch.setattr(nvml, "EVERY_S", 0.0)
    return Card(monkeypatch)


def sampled(least: int) -> tuple[int, GpuSamples]:
    with GpuWatch() as watch:
        while watch.mark() < least:
            time.sleep(0.001)
    samples = watch.since(0)
    return samples.samples, samples


def test_facts_and_strangers(card: Card) -> None:
    watch = GpuWatch()
    facts = watch.facts()
    assert (facts.name, facts.memory_gib, facts.power_limit_w) == ("Example H200", 141.0, 700.0)
    assert facts.ecc is True
    assert facts.mig is None, "not supported is unknown, not off"
    assert watch.strangers() == 2, "one is ours, whatever its number is on the host"
    card.processes = 0
    assert watch.strangers() == 0, "a container may be told of none"


def test_it_is_the_gpu_that_cuda_counts_first(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    GpuWatch()
    assert card.handles == ["GPU-28000102-0304-0506-0708-090a0b0c0d0e"]
    monkeypatch.setattr(card, "cuDeviceGet", lambda device, number: 101)
    with pytest.raises(NoGpu, match=r"CUDA shows no GPU \(error 101\)"):
        GpuWatch()


def test_samples_over_a_level(card: Card) -> None:
    n, samples = sampled(6)
    assert samples.sm_clock_mhz_mean == 1500
    assert samples.temperature_c_max == 61
    assert samples.power_w_mean == 450
    assert samples.energy_j == pytest.approx(60 * (n - 1)), "the counter's difference, in joules"
    assert samples.throttled_share == pytest.approx(1 / 3, abs=0.2), "an idle GPU is not a throttled one"


def test_an_energy_counter_that_was_reset_is_not_believed(card: Card) -> None:
    card.energy_mj = itertools.count(1_000_000, -60_000)
    assert sampled(3)[1].energy_j is None


def test_a_mark_separates_levels(card: Card) -> None:
    with GpuWatch() as watch:
        while (mark := watch.mark()) < 2:
            time.sleep(0.001)
    assert watch.since(mark).samples == watch.mark() - mark
    assert watch.since(watch.mark()).samples == 0
