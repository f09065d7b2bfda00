"""What a schedule does (`celery -A costadvisor beat`): fetches bills that are due. The task holds no logic."""

import logging
from typing import Any

from django.utils import timezone

from costadvisor.celery import app


def _pull(**_newer: Any) -> None:
    # Here, because a worker that only measures has no use for what reads files.
    from costadvisor.spend.services.pulls import pull_run, pulls_due

    now = timezone.now()
    for pull in pulls_due(now=now):
        try:
            pull_run(pull=pull, now=now)
        except Exception:  # one organization's trouble is not another's
            logging.getLogger(__name__).exception("Bills could not be fetched.")


bills_pull = app.task(_pull, name="bills_pull")
