"""The GPU as NVML sees it, read and never set: what it is, who else uses it, and its state over a level."""

import itertools
import os
import statistics
import threading
from collections.abc import Collection
from typing import Any, NamedTuple, Self

import pynvml

from engine.calibrate.record_parts import Gpu, GpuSamples

EVERY_S = 1.0
THROTTLES = (
    pynvml.nvmlClocksEventReasonHwSlowdown
    | pynvml.nvmlClocksEventReasonHwThermalSlowdown
    | pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown
    | pynvml.nvmlClocksEventReasonSwThermalSlowdown
    | pynvml.nvmlClocksEventReasonSwPowerCap
)


class _Sample(NamedTuple):
    """One second's readings; None where this GPU or driver does not have one."""

    clock_mhz: float | None
    temperature_c: float | None
    power_mw: float | None
    throttles: int | None
    energy_mj: float | None


class GpuWatch:
    """The first GPU. A context manager; inside it, samples are taken once a second on a thread of its own."""

    def __init__(self) -> None:
        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        self._samples: list[_Sample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        pynvml.nvmlShutdown()

    def facts(self) -> Gpu:
        memory = self._read("nvmlDeviceGetMemoryInfo")
        power_mw = self._read("nvmlDeviceGetPowerManagementLimit")
        ecc = self._read("nvmlDeviceGetEccMode")
        mig = self._read("nvmlDeviceGetMigMode")
        return Gpu(
            name=self._read("nvmlDeviceGetName") or "unknown",
            memory_gib=round(memory.total / 2**30, 1) if memory else None,
            driver=pynvml.nvmlSystemGetDriverVersion(),
            power_limit_w=power_mw / 1000 if power_mw else None,
            sm_clock_max_mhz=self._read("nvmlDeviceGetMaxClockInfo", pynvml.NVML_CLOCK_SM),
            ecc=bool(ecc[0]) if ecc else None,
            mig=bool(mig[0]) if mig else None,
        )

    def strangers(self, ours: Collection[int]) -> int:
        """Processes on the GPU that are not ours."""
        processes = self._read("nvmlDeviceGetComputeRunningProcesses") or []
        return sum(process.pid not in ours and process.pid != os.getpid() for process in processes)

    def mark(self) -> int:
        """A place in the samples, to ask `since` it later."""
        return len(self._samples)

    def since(self, mark: int) -> GpuSamples:
        taken = self._samples[mark:]
        clocks = [s.clock_mhz for s in taken if s.clock_mhz is not None]
        powers = [s.power_mw for s in taken if s.power_mw is not None]
        throttles = [bool(s.throttles & THROTTLES) for s in taken if s.throttles is not None]
        return GpuSamples(
            samples=len(taken),
            sm_clock_mhz_mean=statistics.fmean(clocks) if clocks else None,
            temperature_c_max=max((s.temperature_c for s in taken if s.temperature_c is not None), default=None),
            power_w_mean=statistics.fmean(powers) / 1000 if powers else None,
            throttled_share=statistics.fmean(throttles) if throttles else None,
            energy_j=_energy_j(taken),
        )

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._samples.append(
                _Sample(
                    self._read("nvmlDeviceGetClockInfo", pynvml.NVML_CLOCK_SM),
                    self._read("nvmlDeviceGetTemperature", pynvml.NVML_TEMPERATURE_GPU),
                    self._read("nvmlDeviceGetPowerUsage"),
                    self._read("nvmlDeviceGetCurrentClocksEventReasons"),
                    self._read("nvmlDeviceGetTotalEnergyConsumption"),
                )
            )

    def _read(self, function: str, *arguments: Any) -> Any:
        try:
            return getattr(pynvml, function)(self._handle, *arguments)
        except pynvml.NVMLError:
            return None


def _energy_j(samples: list[_Sample]) -> float | None:
    """The counter's difference in joules; None when it went backwards (a reset) or is not there."""
    counter = [sample.energy_mj for sample in samples if sample.energy_mj is not None]
    if len(counter) < 2 or any(later < earlier for earlier, later in itertools.pairwise(counter)):
        return None
    return (counter[-1] - counter[0]) / 1000
