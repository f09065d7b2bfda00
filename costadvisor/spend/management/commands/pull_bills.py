"""`manage.py pull_bills`: fetches bills and use by the keys that organizations set; for cron, and the page's button."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from costadvisor.spend.models import BillPull, PullState
from costadvisor.spend.services.pulls import pull_run, pulls_due


class Command(BaseCommand):
    help = "Fetch bills and usage from the providers whose keys are set; nothing is stored twice."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--due", action="store_true", help="only what was not fetched for a day")
        parser.add_argument("--key", type=int, help="only by this key")

    def handle(self, *_: Any, due: bool, key: int | None, **__: Any) -> None:
        now = timezone.now()
        pulls = pulls_due(now=now) if due else BillPull.objects.exclude(state=PullState.REFUSED)
        failed = 0
        for pull in (pulls.filter(key=key) if key else pulls).select_related("key__organization"):
            pull_run(pull=pull, now=now)
            failed += pull.state in (PullState.FAILED, PullState.REFUSED)
            said = f"{pull.get_state_display()}. {pull.message}".strip()
            self.stdout.write(f"{pull.key.organization.slug} {pull.report}: {said}")
        if failed:
            raise CommandError(f"{failed} failed; the lines above say why.")
