"""What NVML says of the first GPU: what it is, who else uses it, and its clocks while something runs. Sets nothing.

`engine.calibrate.gpu` keeps the same for a record, checked by pydantic, which a bare GPU host does not have.
"""

import statistics
import threading
from types import ModuleType
from typing import Any, Self

EVERY_S = 0.5
SLOWED_BY = ("HwSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown", "SwThermalSlowdown", "SwPowerCap")


class Gpu:
    """Usable without a GPU or without nvidia-ml-py, too: then `missing` says why there is nothing to tell."""

    def __init__(self) -> None:
        self.missing: str | None = None
        try:
            import pynvml

            pynvml.nvmlInit()
            self._nvml: ModuleType = pynvml
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        except Exception as error:  # no package, no driver, no GPU
            self.missing = f"{type(error).__name__}: {error}"

    def facts(self) -> dict[str, Any]:
        """What stays as it is, what is free, and processes that were there before us."""
        if self.missing is not None:
            return {"missing": self.missing}
        memory = self.read("nvmlDeviceGetMemoryInfo")
        limit_mw = self.read("nvmlDeviceGetPowerManagementLimit")
        return {
            "name": self.read("nvmlDeviceGetName"),
            "driver": self._nvml.nvmlSystemGetDriverVersion(),
            "memory_gib": round(memory.total / 2**30, 1),
            "memory_free_gib": round(memory.free / 2**30, 1),
            "other_processes": len(self.read("nvmlDeviceGetComputeRunningProcesses") or []),
            "power_limit_w": limit_mw / 1000 if limit_mw else None,
            "sm_clock_max_mhz": self.read("nvmlDeviceGetMaxClockInfo", self._nvml.NVML_CLOCK_SM),
            "memory_clock_max_mhz": self.read("nvmlDeviceGetMaxClockInfo", self._nvml.NVML_CLOCK_MEM),
            "mig": bool((self.read("nvmlDeviceGetMigMode") or [0])[0]),
        }

    def read(self, function: str, *arguments: Any) -> Any:
        """None where this GPU or driver does not have it."""
        try:
            return getattr(self._nvml, function)(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None

    def sample(self) -> dict[str, Any]:
        reasons = self.read("nvmlDeviceGetCurrentClocksEventReasons") or 0
        power_mw = self.read("nvmlDeviceGetPowerUsage")
        return {
            "sm_clock_mhz": self.read("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM),
            "memory_clock_mhz": self.read("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_MEM),
            "temperature_c": self.read("nvmlDeviceGetTemperature", self._nvml.NVML_TEMPERATURE_GPU),
            "power_w": power_mw / 1000 if power_mw else None,
            "throttled": {why for why in SLOWED_BY if reasons & getattr(self._nvml, f"nvmlClocksEventReason{why}")},
        }


class Watch:
    """Samples while a part runs. A context manager; `seen` holds the summary afterwards."""

    def __init__(self, gpu: Gpu) -> None:
        self.seen: dict[str, Any] = {"missing": gpu.missing}
        self._gpu = gpu
        self._samples: list[dict[str, Any]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self._gpu.missing is None:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._samples:
            self.seen = summary(self._samples)

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._samples.append(self._gpu.sample())


def summary(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of clocks and power, the highest temperature, and in which share of samples clocks were held down."""
    told: dict[str, Any] = {"samples": len(samples)}
    for name, of_all in (
        ("sm_clock_mhz", statistics.fmean),
        ("memory_clock_mhz", statistics.fmean),
        ("power_w", statistics.fmean),
        ("temperature_c", max),
    ):
        values = [sample[name] for sample in samples if sample[name] is not None]
        told[name] = round(of_all(values)) if values else None
    told["throttled_share"] = statistics.fmean(bool(sample["throttled"]) for sample in samples)
    told["throttled_by"] = sorted(set().union(*(sample["throttled"] for sample in samples)))
    return told
