"""The GPU that CUDA counts first, as NVML sees it, read and never set: its state, and who else uses it. Torch-free."""

import ctypes
import threading
import time
import uuid
from typing import Any, NamedTuple, Self

import pynvml

EVERY_S = 1.0
SLOWED_BY = {
    "HwSlowdown": pynvml.nvmlClocksEventReasonHwSlowdown,
    "HwThermalSlowdown": pynvml.nvmlClocksEventReasonHwThermalSlowdown,
    "HwPowerBrakeSlowdown": pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
    "SwThermalSlowdown": pynvml.nvmlClocksEventReasonSwThermalSlowdown,
    "SwPowerCap": pynvml.nvmlClocksEventReasonSwPowerCap,
}


class NoGpu(Exception):
    """CUDA finds no GPU, or none that CUDA_VISIBLE_DEVICES lets it see."""


class GpuSample(NamedTuple):
    """One reading, timed by the monotonic clock as the step log is; None where this GPU or driver does not have it."""

    at_s: float
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    temperature_c: float | None
    power_mw: float | None
    throttles: int | None  # NVML's bits of clock event reasons
    energy_mj: float | None  # since the driver was loaded

    @property
    def slowed_by(self) -> set[str]:
        """What held the clocks down; an idle GPU is not held down."""
        return {why for why, bit in SLOWED_BY.items() if (self.throttles or 0) & bit}


def first_gpu() -> str:
    """The UUID of the GPU that CUDA, and so torch, counts first; raises NoGpu.

    NVML counts all GPUs of the machine in an order of its own, and knows nothing of CUDA_VISIBLE_DEVICES. Asking makes
    no context: this process does not come to use the GPU by it.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise NoGpu(f"there is no CUDA driver: {error}") from None
    device, name = ctypes.c_int(), ctypes.create_string_buffer(16)
    for ask, arguments in (
        (cuda.cuInit, (0,)),
        (cuda.cuDeviceGet, (ctypes.byref(device), 0)),
        (cuda.cuDeviceGetUuid, (name, device)),
    ):
        code = ask(*arguments)
        if code:
            raise NoGpu(f"CUDA shows no GPU (error {code})")
    return f"GPU-{uuid.UUID(bytes=name.raw)}"


class GpuMonitor:
    """A context manager; inside it, samples are taken on a thread of its own. Raises NoGpu, or pynvml.NVMLError."""

    def __init__(self, every_s: float | None = None) -> None:
        gpu = first_gpu()
        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(gpu)
        self.samples: list[GpuSample] = []
        self._every_s = EVERY_S if every_s is None else every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        pynvml.nvmlShutdown()

    def processes(self) -> int:
        """How many use the GPU, as far as NVML tells."""
        return len(self.read("nvmlDeviceGetComputeRunningProcesses") or [])

    def strangers(self) -> int:
        """Processes on the GPU beside the one of ours. They are counted and not named: to a container, NVML tells the
        host's process ids, which nobody inside it knows its own by, or none at all."""
        return max(0, self.processes() - 1)

    def read(self, function: str, *arguments: Any) -> Any:
        """What an NVML function says of the GPU, or None where it can't."""
        try:
            return getattr(pynvml, function)(self._handle, *arguments)
        except pynvml.NVMLError:
            return None

    def _watch(self) -> None:
        while not self._ended.wait(self._every_s):
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
