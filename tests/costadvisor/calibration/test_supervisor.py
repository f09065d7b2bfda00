"""A child process: heard while it works, ended with all that it started, and never longer alive than its supervisor."""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from costadvisor.calibration.supervisor import Ended, Limits, StopReason, supervise

PATIENT = Limits(deadline_s=30, grace_s=10)


def run(
    script: str, folder: Path, tick: Callable[[Sequence[str]], StopReason | None], limits: Limits = PATIENT
) -> Ended:
    return supervise([sys.executable, "-c", script], folder=folder, environment={}, limits=limits, tick=tick)


def alive(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], within_s: float = 5) -> bool:
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_lines_are_heard_as_they_come_and_none_is_lost(tmp_path: Path) -> None:
    heard: list[tuple[str, float]] = []

    def tick(lines: Sequence[str]) -> None:
        heard.extend((line.strip(), time.monotonic()) for line in lines)

    script = "import time; print('first', flush=True); time.sleep(1.2); print('a\\nb'); print('last', end='')"
    ended = run(script, tmp_path, tick)
    assert (ended.returncode, ended.stopped) == (0, None)
    assert [line for line, _ in heard] == ["first", "a", "b", "last"]
    assert heard[-1][1] - heard[0][1] > 0.5


def test_the_last_words_and_the_code_are_told(tmp_path: Path) -> None:
    script = (
        "import sys; print('warning', file=sys.stderr); print('error: no such model\\n', file=sys.stderr); sys.exit(2)"
    )
    ended = run(script, tmp_path, lambda lines: None)
    assert ended == Ended(returncode=2, stopped=None, last_words="error: no such model")


def test_told_to_stop_it_may_finish_what_it_does(tmp_path: Path) -> None:
    script = """
import os, signal, sys, time
def stop(number, frame):
    os.write(1, b'stopping\\n')  # print is not safe here: it may be interrupting itself
    sys.exit(3)
signal.signal(signal.SIGTERM, stop)
print('ready', flush=True)
time.sleep(30)
"""
    heard: list[str] = []

    def tick(lines: Sequence[str]) -> StopReason | None:
        heard.extend(line.strip() for line in lines)
        return StopReason.CANCEL if "ready" in heard else None

    ended = run(script, tmp_path, tick)
    assert (ended.returncode, ended.stopped) == (3, StopReason.CANCEL)
    assert heard == ["ready", "stopping"]


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_the_deadline_and_the_grace_end_a_stubborn_one_and_its_children(tmp_path: Path) -> None:
    pids: list[int] = []

    def tick(lines: Sequence[str]) -> None:
        pids.extend(int(line) for line in lines)

    ended = run(STUBBORN, tmp_path, tick, Limits(deadline_s=1.5, grace_s=0.5))
    assert (ended.returncode, ended.stopped) == (-signal.SIGKILL, StopReason.OVERDUE)
    assert pids
    assert wait_until(lambda: not alive(pids[0]))


def test_what_a_child_leaves_running_goes_with_it(tmp_path: Path) -> None:
    script = STUBBORN.removesuffix("time.sleep(60)\n")
    pids: list[int] = []
    ended = run(script, tmp_path, lambda lines: pids.extend(int(line) for line in lines))
    assert (ended.returncode, ended.stopped) == (0, None)
    assert wait_until(lambda: not alive(pids[0]))


def test_an_error_of_ours_ends_the_child_too(tmp_path: Path) -> None:
    pids: list[int] = []

    def tick(lines: Sequence[str]) -> None:
        pids.extend(int(line) for line in lines)
        if pids:
            raise RuntimeError("the database burned down")

    with pytest.raises(RuntimeError, match="burned"):
        run(STUBBORN, tmp_path, tick)
    assert wait_until(lambda: not alive(pids[0]))
