"""What NVML says of the first GPU: what it is, who uses it, and its clocks while something runs. Sets nothing.

Usable without a GPU or without nvidia-ml-py, too: `engine.nvml`, which has both, is imported where there may be one.
"""

import statistics
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.nvml import GpuMonitor, GpuSample

EVERY_S = 0.5


class Gpu:
    """Where there is none, `missing` says why there is nothing to tell."""

    def __init__(self) -> None:
        self.missing: str | None = None
        try:
            self._monitor()
        except Exception as error:  # no package, no driver, no GPU
            self.missing = str(error)

    def facts(self) -> dict[str, Any]:
        """What stays as it is, what is free, and processes that are there before ours."""
        if self.missing is not None:
            return {"missing": self.missing}
        import pynvml

        gpu = self._monitor()
        memory = gpu.read("nvmlDeviceGetMemoryInfo")
        limit_mw = gpu.read("nvmlDeviceGetPowerManagementLimit")
        return {
            "name": gpu.read("nvmlDeviceGetName"),
            "driver": pynvml.nvmlSystemGetDriverVersion(),
            "memory_gib": round(memory.total / 2**30, 1),
            "memory_free_gib": round(memory.free / 2**30, 1),
            "other_processes": gpu.processes(),
            "power_limit_w": limit_mw / 1000 if limit_mw else None,
            "sm_clock_max_mhz": gpu.read("nvmlDeviceGetMaxClockInfo", pynvml.NVML_CLOCK_SM),
            "memory_clock_max_mhz": gpu.read("nvmlDeviceGetMaxClockInfo", pynvml.NVML_CLOCK_MEM),
            "mig": bool((gpu.read("nvmlDeviceGetMigMode") or [0])[0]),
        }

    def watch(self) -> "AbstractContextManager[GpuMonitor | None]":
        """Takes samples while a part runs."""
        return self._monitor() if self.missing is None else nullcontext()

    def seen(self, watch: "GpuMonitor | None") -> dict[str, Any]:
        """A summary of what was sampled."""
        return summary(watch.samples) if watch is not None and watch.samples else {"missing": self.missing}

    def _monitor(self) -> "GpuMonitor":
        from engine.nvml import GpuMonitor

        return GpuMonitor(EVERY_S)


def summary(samples: "list[GpuSample]") -> dict[str, Any]:
    """Means of clocks and power, the highest temperature, and in which share of samples clocks were held down."""
    return {
        "samples": len(samples),
        "sm_clock_mhz": _known(statistics.fmean, [sample.sm_clock_mhz for sample in samples]),
        "memory_clock_mhz": _known(statistics.fmean, [sample.memory_clock_mhz for sample in samples]),
        "power_w": _known(lambda mw: statistics.fmean(mw) / 1000, [sample.power_mw for sample in samples]),
        "temperature_c": _known(max, [sample.temperature_c for sample in samples]),
        "throttled_share": statistics.fmean(bool(sample.slowed_by) for sample in samples),
        "throttled_by": sorted(set().union(*(sample.slowed_by for sample in samples))),
    }


def _known(of_all: Any, values: list[float | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(of_all(known)) if known else None
