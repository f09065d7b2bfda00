"""The GPU of a calibration: what it is, and its state over a level."""

import itertools
import statistics

import pynvml

from engine.calibrate.record_parts import Gpu, GpuSamples
from engine.nvml import GpuMonitor, GpuSample


class GpuWatch(GpuMonitor):
    """The first GPU over the levels of a calibration."""

    def facts(self) -> Gpu:
        memory = self.read("nvmlDeviceGetMemoryInfo")
        power_mw = self.read("nvmlDeviceGetPowerManagementLimit")
        ecc = self.read("nvmlDeviceGetEccMode")
        mig = self.read("nvmlDeviceGetMigMode")
        return Gpu(
            name=self.read("nvmlDeviceGetName") or "unknown",
            memory_gib=round(memory.total / 2**30, 1) if memory else None,
            driver=pynvml.nvmlSystemGetDriverVersion(),
            power_limit_w=power_mw / 1000 if power_mw else None,
            sm_clock_max_mhz=self.read("nvmlDeviceGetMaxClockInfo", pynvml.NVML_CLOCK_SM),
            ecc=bool(ecc[0]) if ecc else None,
            mig=bool(mig[0]) if mig else None,
        )

    def mark(self) -> int:
        """A place in the samples, to ask `since` it later."""
        return len(self.samples)

    def since(self, mark: int) -> GpuSamples:
        taken = self.samples[mark:]
        clocks = [s.sm_clock_mhz for s in taken if s.sm_clock_mhz is not None]
        powers = [s.power_mw for s in taken if s.power_mw is not None]
        throttles = [bool(s.slowed_by) for s in taken if s.throttles is not None]
        return GpuSamples(
            samples=len(taken),
            sm_clock_mhz_mean=statistics.fmean(clocks) if clocks else None,
            temperature_c_max=max((s.temperature_c for s in taken if s.temperature_c is not None), default=None),
            power_w_mean=statistics.fmean(powers) / 1000 if powers else None,
            throttled_share=statistics.fmean(throttles) if throttles else None,
            energy_j=_energy_j(taken),
        )


def _energy_j(samples: list[GpuSample]) -> float | None:
    """The counter's difference in joules; None when it went backwards (a reset) or is not there."""
    counter = [sample.energy_mj for sample in samples if sample.energy_mj is not None]
    if len(counter) < 2 or any(later < earlier for earlier, later in itertools.pairwise(counter)):
        return None
    return (counter[-1] - counter[0]) / 1000
