"""Who else uses the CPU while a level runs, and when."""

import itertools
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

import psutil

CONTENDED = 0.10  # of all cores, to others, over a level
NOISY = 0.04  # over half a second: enough to hold up an iteration or two
EVERY_S = 0.5
BUSY = ("user", "nice", "system", "irq", "softirq", "steal")


@dataclass(frozen=True, slots=True)
class CpuUse:
    """Shares of all cores over a level, None where nobody looked; and the stretches of it in which others took more
    than NOISY."""

    driver: float | None = None
    others: float | None = None
    noisy_s: tuple[tuple[float, float], ...] = ()

    @property
    def contended(self) -> bool:
        return self.others is not None and self.others > CONTENDED

    def quiet(self, started_s: float, ended_s: float) -> bool:
        """Whether nobody interfered with what happened then."""
        return all(ended_s < start or started_s > end for start, end in self.noisy_s)


class _Reading(NamedTuple):
    """Seconds: of the clock, and of all cores together."""

    at: float
    busy: float
    driver: float
    ours: float

    def shares_until(self, later: "_Reading") -> tuple[float, float]:
        """What this process and what everybody else took of the cores in between."""
        capacity = max(1e-9, (later.at - self.at) * (os.cpu_count() or 1))
        driver = later.driver - self.driver
        others = later.busy - self.busy - driver - (later.ours - self.ours)
        return driver / capacity, max(0.0, others) / capacity


class CpuWatch:
    """A context manager that reads the clocks twice a second on a thread of its own.

    `ours` are the processes under measurement. Time that a hypervisor gave to other machines (steal) is others'.
    """

    def __init__(self, ours: Iterable[int]) -> None:
        self._driver = psutil.Process()
        self._ours = [psutil.Process(pid) for pid in ours]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._readings: list[_Reading] = []

    def __enter__(self) -> Self:
        self._readings.append(self._read())
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def use(self) -> CpuUse:
        """What was read so far; times count from entering."""
        readings = [*self._readings, self._read()]
        zero = readings[0].at
        driver, others = readings[0].shares_until(readings[-1])
        noisy = tuple(
            (before.at - zero, after.at - zero)
            for before, after in itertools.pairwise(readings)
            if before.shares_until(after)[1] > NOISY
        )
        return CpuUse(driver, others, noisy)

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._readings.append(self._read())

    def _read(self) -> _Reading:
        times = psutil.cpu_times()
        driver = self._driver.cpu_times()
        ours = [process.cpu_times() for process in self._ours]
        return _Reading(
            at=time.monotonic(),
            busy=sum(getattr(times, kind, 0.0) for kind in BUSY),
            driver=driver.user + driver.system,
            ours=sum(used.user + used.system for used in ours),
        )
