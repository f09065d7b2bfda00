"""Who used the CPU, and when."""

import itertools
import os
import time
from types import SimpleNamespace

import psutil
import pytest

from engine.calibrate import contention
from engine.calibrate.contention import CpuUse, CpuWatch

CORES = 2


class Machine:
    """Two cores whose clocks are set by the test; `psutil` reads them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = self.busy = self.steal = self.driver = self.worker = 0.0
        monkeypatch.setattr(os, "cpu_count", lambda: CORES)
        monkeypatch.setattr(time, "monotonic", lambda: self.at)
        monkeypatch.setattr(psutil, "cpu_times", lambda: SimpleNamespace(user=self.busy, idle=1e9, steal=self.steal))
        monkeypatch.setattr(psutil, "Process", self.process)

    def process(self, pid: int | None = None) -> SimpleNamespace:
        def cpu_times() -> SimpleNamespace:
            return SimpleNamespace(user=self.driver if pid is None else self.worker, system=0.0)

        return SimpleNamespace(cpu_times=cpu_times)

    def pass_by(self, seconds: float, *, worker: float = 0.0, driver: float = 0.0, others: float = 0.0) -> None:
        """Each share is of all cores."""
        capacity = seconds * CORES
        self.at += seconds
        self.worker += worker * capacity
        self.driver += driver * capacity
        self.busy += (worker + driver + others) * capacity


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(contention, "EVERY_S", 1e9)  # the test reads by itself
    return Machine(monkeypatch)


def test_our_own_processes_are_not_others(machine: Machine) -> None:
    watch = CpuWatch([7])
    with watch:
        machine.pass_by(10, worker=0.95, driver=0.01)
        use = watch.use()
    assert use.driver == pytest.approx(0.01)
    assert use.others == pytest.approx(0.0, abs=1e-9)
    assert not use.contended
    assert use.quiet(0, 10)


def test_others_and_stolen_time_contend(machine: Machine) -> None:
    with CpuWatch([7]) as watch:
        machine.pass_by(10, worker=0.5, others=0.06)
        machine.steal += 0.05 * 10 * CORES
        use = watch.use()
    assert use.others == pytest.approx(0.11)
    assert use.contended
    assert not use.quiet(2, 3)


def test_quiet_is_outside_every_noisy_stretch() -> None:
    use = CpuUse(0.0, 0.05, noisy_s=((2.0, 3.0), (5.0, 5.5)))
    stretches = {(0.0, 1.9): True, (1.9, 2.1): False, (2.2, 2.3): False, (3.1, 4.9): True, (4.0, 6.0): False}
    assert {stretch: use.quiet(*stretch) for stretch in stretches} == stretches
    assert not use.contended, "a short burst does not spoil a whole level"


def test_the_clocks_are_read_all_along() -> None:
    with CpuWatch([]) as watch:
        deadline = time.monotonic() + 1.3
        for number in itertools.count():
            if number % 1000 == 0 and time.monotonic() > deadline:
                break
        use = watch.use()
    assert use.driver is not None
    assert use.driver > 0.05, "this very process was counting"
    assert use.others is not None
