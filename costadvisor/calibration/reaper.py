"""Reaping again and again: in each worker beside its work, or in `manage.py reap_jobs --loop`."""

import logging
import threading

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from costadvisor.calibration.services.leases import Reaped, jobs_reap

logger = logging.getLogger(__name__)


def reap_once() -> Reaped:
    """One pass, told in the log if it did something. Any number of reapers may run at once."""
    reaped = jobs_reap(now=timezone.now())
    if reaped != Reaped():
        logger.info("Calibrations: %s", reaped)
    return reaped


def reap_until(stopped: threading.Event) -> None:
    """A pass each CALIBRATION_REAP_EVERY_S. A database that is away for a while only delays it."""
    while True:
        try:
            reap_once()
        except DatabaseError:
            logger.exception("Calibrations could not be reaped; trying again in a while.")
        finally:
            connection.close()
        if stopped.wait(settings.CALIBRATION_REAP_EVERY_S):
            return
