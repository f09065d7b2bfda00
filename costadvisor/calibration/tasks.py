"""What workers do. The tasks hold no logic.

    celery -A costadvisor worker -Q cpu,gpu -P solo                              beside the web application
    celery -A costadvisor worker -Q gpu -P prefork -c 1 --max-tasks-per-child 1  on a machine with a GPU

They tolerate arguments that they do not know: in a rolling deploy the sender may be newer.
"""

import os
import socket
import threading
from typing import Any

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings

from costadvisor.calibration.attempt import attempt_run, shutting_down
from costadvisor.calibration.reaper import reap_once, reap_until
from costadvisor.calibration.services.jobs import TASK
from costadvisor.celery import app


def _run(task: Any, job_id: int, attempt: int, **_newer: Any) -> None:
    worker_id = f"{socket.gethostname()}:{os.getpid()} {task.request.id}"
    attempt_run(job_id=job_id, attempt=attempt, worker_id=worker_id)


def _reap(**_newer: Any) -> None:
    reap_once()


calibration_run = app.task(_run, name=TASK, bind=True)
calibration_reap = app.task(_reap, name="calibration_reap")


def reap_beside_the_work(**_: Any) -> None:
    """A worker that comes back finds the jobs of one that was killed, without a beat process having to run."""
    if settings.CALIBRATION_REAP_IN_WORKER:
        threading.Thread(target=reap_until, args=(threading.Event(),), daemon=True, name="reaper").start()


def give_the_job_back(**_: Any) -> None:
    shutting_down.set()


worker_ready.connect(reap_beside_the_work)
worker_shutting_down.connect(give_the_job_back)
