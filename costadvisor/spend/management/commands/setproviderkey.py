"""A key by which an organization's bills are fetched; see `pull_bills`."""

from datetime import date
from getpass import getpass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from costadvisor.accounts.selectors import organization_get
from costadvisor.common.refusal import Refusal
from costadvisor.spend.models import Provider
from costadvisor.spend.provider_keys import ProviderSecret
from costadvisor.spend.services.keys import provider_key_set


class Command(BaseCommand):
    help = "Set a provider's key of an organization; it is asked for, or read from a file, and kept encrypted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="as its address names it, such as acme for /o/acme/")
        parser.add_argument("provider", choices=Provider.values)
        parser.add_argument("--since", type=date.fromisoformat, help="the first day to fetch (a year ago)")
        parser.add_argument("--key-file", type=Path, help="a file with nothing but the key in it")

    def handle(self, *_: Any, organization: str, provider: str, **options: Any) -> None:
        today = timezone.localdate()
        try:
            key = provider_key_set(
                organization=organization_get(slug=organization),
                actor=None,
                provider=Provider(provider),
                secret=ProviderSecret(_key(options["key_file"])),
                since=options["since"] or date(today.year - 1, today.month, 1),
                now=timezone.now(),
            )
        except Refusal as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"Set: {key}, from {key.since} on. Fetch by: manage.py pull_bills --key {key.pk}")


def _key(path: Path | None) -> str:
    """Never an argument: those are seen by whoever lists processes."""
    if path is None:
        return getpass("Key: ")
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise Refusal(f"{path} cannot be read as text.") from None
