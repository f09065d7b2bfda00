"""One attempt at a job, in the worker: claim it, run the engine as a child, store what it brought.

Torch and CUDA are never touched in this process: it may fork, and the engine must end when it is told to.
"""

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone

from costadvisor.calibration.model_folders import model_folders
from costadvisor.calibration.models import CalibrationJob, FailureCode
from costadvisor.calibration.progress import STARTING
from costadvisor.calibration.services.leases import (
    Answer,
    Lease,
    job_claim,
    job_fail,
    job_heartbeat,
    job_requeue,
    job_stop,
    job_succeed,
    job_unsend,
)
from costadvisor.calibration.services.records import raw_file_keep, record_read_of_job
from costadvisor.calibration.supervisor import Ended, Limits, StopReason, supervise
from costadvisor.common.refusal import Refusal
from engine.calibrate.record import Record

ENGINE_REFUSED, ENGINE_STOPPED = 2, 3
OVERRUN_S = 60  # the engine keeps its time limit between steps; this much later it is overdue
# The engine gets no secrets: neither ours (database, broker, key) nor those of other programs.
PASSED_ON = {"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV", "XDG_CACHE_HOME"}
PASSED_ON_PREFIXES = ("CUDA_", "LC_", "MKL_", "NVIDIA_", "OMP_", "TORCH_", "TRITON_")

shutting_down = threading.Event()
"""Set by a worker that is told to end while it works in this very process (pool `solo`)."""


def attempt_run(*, job_id: int, attempt: int, worker_id: str) -> bool:
    """Runs the attempt to its end. False: it was not to be run (a duplicate message, or a job cancelled meanwhile)."""
    if shutting_down.is_set():  # a worker that was told to end still takes one message
        job_unsend(job_id=job_id)
        return False
    lease = job_claim(job_id=job_id, attempt=attempt, worker_id=worker_id, now=timezone.now())
    if lease is None:
        return False
    try:
        with _folder(lease.job) as folder:
            _measure(lease, folder)
    except Exception as error:
        message = f"{type(error).__name__}; the log of worker {worker_id} says more."
        job_fail(lease=lease, code=FailureCode.INTERNAL, message=message, now=timezone.now())
        raise
    return True


def _measure(lease: Lease, folder: Path) -> None:
    job = lease.job
    model = model_folders().get(job.model_name)
    if model is None:
        message = f"{job.model_name} is not among the model folders of worker {job.worker_id}."
        job_fail(lease=lease, code=FailureCode.MODEL_MISSING, message=message, now=timezone.now())
        return
    (folder / "workload.json").write_text(json.dumps(job.lengths))
    ended = supervise(
        _command(job, model, folder),
        folder=settings.BASE_DIR,
        environment=_environment(),
        limits=Limits(deadline_s=job.longest_seconds + OVERRUN_S, grace_s=settings.CALIBRATION_GRACE_S),
        tick=_Heart(lease).tick,
    )
    _conclude(lease, ended, folder)


def _command(job: CalibrationJob, model: Path, folder: Path) -> list[str]:
    return [
        *settings.CALIBRATION_COMMAND,
        f"--model={model}",
        f"--workload={folder / 'workload.json'}",
        f"--slo=ttft_p95_ms={job.ttft_p95_ms},tpot_p95_ms={job.tpot_p95_ms}",
        f"--tier={job.tier}",
        f"--device={job.device}",
        f"--max-minutes={job.longest_seconds / 60:.3f}",
        f"--out={folder / 'record.json'}",
        "--end-with-stdin",
    ]


def _environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }


class _Heart:
    """Listens to the engine and beats: prolongs the lease, stores the progress, hears of a cancellation."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._progress = STARTING
        self._beaten_at = time.monotonic()
        self._next_beat_at = self._beaten_at

    def tick(self, lines: Sequence[str]) -> StopReason | None:
        for line in lines:
            self._progress = self._progress.followed_by(line)
        if shutting_down.is_set():
            return StopReason.SHUTDOWN
        return self._beat() if time.monotonic() >= self._next_beat_at else None

    def _beat(self) -> StopReason | None:
        self._next_beat_at = time.monotonic() + settings.CALIBRATION_HEARTBEAT_S
        try:
            answer = job_heartbeat(lease=self._lease, progress=self._progress, now=timezone.now())
        except OperationalError:  # the database may be back before the lease ends
            connection.close()
            return StopReason.LEASE_LOST if self._lease_is_over() else None
        self._beaten_at = time.monotonic()
        return {Answer.GO_ON: None, Answer.CANCEL: StopReason.CANCEL, Answer.LOST: StopReason.LEASE_LOST}[answer]

    def _lease_is_over(self) -> bool:
        return time.monotonic() - self._beaten_at > settings.CALIBRATION_LEASE_S


def _conclude(lease: Lease, ended: Ended, folder: Path) -> None:
    """Writes down how the attempt ended. A lost lease ends in silence: the job is somebody else's."""
    now = timezone.now()
    if ended.stopped is StopReason.LEASE_LOST:
        return
    if ended.stopped is StopReason.SHUTDOWN:
        job_requeue(lease=lease, now=now)
        return
    try:
        record = _record(lease.job, folder)
    except Refusal as refusal:
        job_fail(lease=lease, code=FailureCode.BAD_RECORD, message=str(refusal), now=now)
        return
    if ended.returncode == 0 and record is not None:
        job_succeed(lease=lease, record=record, now=now)
    elif ended.stopped is StopReason.CANCEL:
        job_stop(lease=lease, record=record, now=now)
    else:
        code, message = _failure(lease.job, ended)
        job_fail(lease=lease, code=code, message=message, record=record, now=now)


def _record(job: CalibrationJob, folder: Path) -> Record | None:
    """What the engine wrote, checked; None if it wrote nothing. Raises Refusal for what cannot be used."""
    path = folder / "record.json"
    if not path.is_file():
        return None
    record = record_read_of_job(path.read_bytes(), job=job)
    if record.raw is not None:
        raw_file_keep(path=folder / Path(record.raw.file).name, record=record)
    return record


def _failure(job: CalibrationJob, ended: Ended) -> tuple[FailureCode, str]:
    words = ended.last_words.removeprefix("error: ")
    if ended.stopped is StopReason.OVERDUE:
        return FailureCode.OVERDUE, f"The engine had not ended {OVERRUN_S} s after its limit and was stopped."
    if ended.returncode == ENGINE_STOPPED:
        minutes = job.longest_seconds / 60
        return FailureCode.OUT_OF_TIME, f"{minutes:.3g} minutes were not enough; what was measured in them is kept."
    if ended.returncode == ENGINE_REFUSED:
        return FailureCode.REFUSED, words
    if ended.returncode == 0:
        return FailureCode.BAD_RECORD, "The engine ended without a record."
    if ended.returncode == -signal.SIGKILL:
        return FailureCode.ENGINE_FAILED, "The engine was killed; the machine may have run out of memory."
    return FailureCode.ENGINE_FAILED, words or f"The engine ended with code {ended.returncode} and said nothing."


@contextlib.contextmanager
def _folder(job: CalibrationJob) -> Iterator[Path]:
    """An empty folder for the attempt. What a killed worker left of an earlier one goes too."""
    attempts = Path(settings.CALIBRATION_DIR) / "attempts"
    for left_over in attempts.glob(f"{job.pk}-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    folder = attempts / f"{job.pk}-{job.attempts}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
