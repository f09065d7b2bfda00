"""The first GPU as NVML sees it, read and never set: its state once a second, and who else uses it. Torch-free."""

import os
import threading
import time
from collections.abc import Collection
from typing import Any, NamedTuple, Self

import pynvml

EVERY_S = 1.0


class GpuSample(NamedTuple):
    """One reading, timed by the monotonic clock as the step log is; None where this GPU or driver does not have it."""

    at_s: float
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    temperature_c: float | None
    power_mw: float | None
    throttles: int | None  # NVML's bits of clock event reasons
    energy_mj: float | None  # since the driver was loaded


class GpuMonitor:
    """A context manager; inside it, samples are taken on a thread of its own."""

    def __init__(self) -> None:
        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        self.samples: list[GpuSample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        pynvml.nvmlShutdown()

    def strangers(self, ours: Collection[int] = ()) -> int:
        """Processes on the GPU that are neither ours nor this one."""
        processes = self.read("nvmlDeviceGetComputeRunningProcesses") or []
        return sum(process.pid not in ours and process.pid != os.getpid() for process in processes)

    def read(self, function: str, *arguments: Any) -> Any:
        """What an NVML function says of the GPU, or None where it can't."""
        try:
            return getattr(pynvml, function)(self._handle, *arguments)
        except pynvml.NVMLError:
            return None

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_S):
            self.samples.append(
                GpuSample(
                    time.monotonic(),
                    self.read("nvmlDeviceGetClockInfo", pynvml.NVML_CLOCK_SM),
                    self.read("nvmlDeviceGetClockInfo", pynvml.NVML_CLOCK_MEM),
                    self.read("nvmlDeviceGetTemperature", pynvml.NVML_TEMPERATURE_GPU),
                    self.read("nvmlDeviceGetPowerUsage"),
                    self.read("nvmlDeviceGetCurrentClocksEventReasons"),
                    self.read("nvmlDeviceGetTotalEnergyConsumption"),
                )
            )
