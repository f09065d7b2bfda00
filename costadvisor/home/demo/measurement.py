"""Calibrates this machine for the example: a real job, which a real worker takes from the broker."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.utils import timezone

from costadvisor.calibration.model_folders import model_folders
from costadvisor.calibration.models import CalibrationJob, CalibrationRecord, Device, FailureCode, JobState, Tier
from costadvisor.calibration.selectors import job_find, record_list
from costadvisor.calibration.services.jobs import JobSpec, job_cancel, job_create, job_enqueue
from costadvisor.common.refusal import Refusal
from costadvisor.home.demo.example import Example
from costadvisor.home.processes import Child

MODEL = "SmolLM2-135M-Instruct"
MOST_MINUTES = 5
LOOK_EVERY_S = 1.0  # seldom: what is measured is this very machine

Show = Callable[[CalibrationJob], None]


@dataclass(frozen=True)
class Measurement:
    """What the calibration brought; where `record` is None, `without` says why."""

    record: CalibrationRecord | None
    without: str = ""


def check_model() -> None:
    """Raises Refusal where the model cannot be measured because it is not there."""
    if MODEL not in model_folders():
        raise Refusal(
            f"The model folder var/models/{MODEL} is missing: `make model` fetches it"
            " (where CALIBRATION_MODELS is set, it has to list the folder)."
        )


def measure(example: Example, *, worker: Child, show: Show) -> Measurement:
    """Orders the calibration and follows it to its end; `show` gets the job every second.

    Raises ChildEndedError if the worker ended before it. Whatever ends this, the job does not go on without it.
    """
    spec = JobSpec(model_name=MODEL, device=Device.CPU, tier=Tier.QUICK, max_minutes=MOST_MINUTES)
    job = job_create(organization=example.organization, actor=example.user, workload=example.workload, spec=spec)
    try:
        job_enqueue(job=job, actor=example.user, now=timezone.now())
        job = _followed(job, worker, show)
    except BaseException:
        with contextlib.suppress(Refusal):  # it has ended already
            job_cancel(job=job, actor=example.user, now=timezone.now())
        raise
    record = record_list(organization=example.organization).filter(job=job).first()
    if record is None or not _has_result(job):
        return Measurement(None, f"The calibration has no result. {_ending(job)}")
    return Measurement(record)


def _has_result(job: CalibrationJob) -> bool:
    """What a slow machine measured until its time was up is a result, if one that may state no rate."""
    return job.state == JobState.SUCCEEDED or job.failure_code == FailureCode.OUT_OF_TIME


def _ending(job: CalibrationJob) -> str:
    if job.state == JobState.CANCELLED:
        return "It was cancelled."
    return f"{job.get_failure_code_display()}: {job.failure_message}"


def _followed(job: CalibrationJob, worker: Child, show: Show) -> CalibrationJob:
    """The job as it ended."""
    while job.is_unfinished:
        worker.check()
        time.sleep(LOOK_EVERY_S)
        job = job_find(organization=job.organization, job_id=job.pk) or job
        show(job)
    return job
