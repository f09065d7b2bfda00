"""`manage.py refresh_prices`: what price lists say today, recorded beside what they said before; for cron."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from costadvisor.catalog.selectors import catalog_known
from costadvisor.catalog.services.refresh import Refreshed, change_text, prices_refresh
from costadvisor.catalog.sources.download import Bounds, download
from costadvisor.catalog.sources.genai import genai_reading
from costadvisor.catalog.sources.gpuhunt import NOT_INSTALLED, gpuhunt_reading
from costadvisor.catalog.sources.reading import Reading, UnreadableError

CHANGES_SHOWN = 40


class Command(BaseCommand):
    help = "Read today's list prices of APIs and, with gpuhunt installed, rents of GPUs; earlier prices stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and store nothing")
        parser.add_argument("--url", default=settings.PRICES_URL, help="of the data file (PRICES_URL)")
        parser.add_argument("--all", action="store_true", help=f"print every change, not the first {CHANGES_SHOWN}")

    def handle(self, *_: Any, dry_run: bool, url: str, **options: Any) -> None:
        now, today = timezone.now(), timezone.localdate()
        if not url.startswith(("https://", "http://")):
            raise CommandError(
                f"{url[:40]!r} is no address of a file; it starts with https:// or http://.", returncode=2
            )
        readings = [self._api(url), self._gpus()]
        found = prices_refresh(readings=[known for known in readings if known], now=now, dry_run=dry_run)
        for refreshed in found:
            self._say(refreshed, dry_run, options["all"])
        if readings[1] is None:
            self.stdout.write(NOT_INSTALLED)
        if any(refreshed.check and refreshed.changes for refreshed in found):
            self.stdout.write("What that does to your decisions: manage.py price_changes")
        if dry_run:
            self.stdout.write(f"A dry run of {today}: nothing was stored.")

    def _api(self, url: str) -> Reading:
        bounds = Bounds(settings.PRICES_SILENT_S, settings.PRICES_WHOLE_S, settings.PRICES_MAX_BYTES)
        try:
            return genai_reading(download(url, bounds), origin=url, read_on=timezone.localdate())
        except UnreadableError as error:
            raise CommandError(f"The price list at {url} {error}. Nothing was stored.") from None

    def _gpus(self) -> Reading | None:
        today = timezone.localdate()
        try:
            return gpuhunt_reading(catalog_known(organization=None, on=today), read_on=today)
        except UnreadableError as error:
            raise CommandError(f"gpuhunt {error}. Nothing was stored.") from None

    def _say(self, refreshed: Refreshed, dry_run: bool, everything: bool) -> None:
        reading, changes = refreshed.reading, refreshed.changes
        listed = len(reading.prices) + len(reading.offers)
        would = "would change" if dry_run else "changed"
        self.stdout.write(f"{reading.source}: {listed:,} prices read on {reading.read_on}, {len(changes):,} {would}.")
        shown = changes if everything else changes[:CHANGES_SHOWN]
        for change in shown:
            self.stdout.write(f"  {change_text(change)}")
        if len(shown) < len(changes):
            self.stdout.write(f"  and {len(changes) - len(shown):,} more (--all)")
        if refreshed.gone:
            names = ", ".join(refreshed.gone[:5]) + (", …" if len(refreshed.gone) > 5 else "")
            self.stdout.write(f"  no longer listed, their last price ages: {len(refreshed.gone):,} ({names})")
