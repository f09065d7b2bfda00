"""`manage.py price_changes`: what the newest prices do to each organization's decisions."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from costadvisor.accounts.models import Organization
from costadvisor.accounts.selectors import organization_get
from costadvisor.common.refusal import Refusal
from costadvisor.decisions.price_changes import PriceEvent, decisions_moved, price_event_find, price_events
from costadvisor.decisions.text import moves_text


class Command(BaseCommand):
    help = "Say how break-evens moved by the newest refresh or quote, or by another event."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", nargs="?", help="as its address names it (all of them)")
        parser.add_argument("--event", help="an event's name, such as quote-3 (the newest)")
        parser.add_argument("--list", action="store_true", help="name the events")

    def handle(self, *_: Any, organization: str | None, event: str | None, **options: Any) -> None:
        try:
            named = (
                [organization_get(slug=organization)] if organization else list(Organization.objects.order_by("slug"))
            )
        except Refusal as error:
            raise CommandError(str(error), returncode=2) from error
        for each in named:
            self._list(each) if options["list"] else self._report(each, event)

    def _list(self, organization: Organization) -> None:
        for event in price_events(organization=organization):
            self.stdout.write(f"{organization.slug} {event.id}: {event.title}, {event.at:%Y-%m-%d %H:%M} UTC")

    def _report(self, organization: Organization, event_id: str | None) -> None:
        event = _event(organization, event_id)
        if event is None:
            self.stdout.write(f"{organization.slug}: nothing was recorded{f' as {event_id}' if event_id else ''}.")
            return
        self.stdout.write(f"{organization.slug}: {event.title}, prices of {event.on}")
        moved = list(decisions_moved(organization=organization, event=event))
        for each in moved:
            told = moves_text(each.moves) if each.moves else f"refused at these prices: {each.refused}"
            self.stdout.write(f"{each.decision.name}\n{told}")
        if not moved:
            self.stdout.write("No decision rests on a price that changed.")


def _event(organization: Organization, event_id: str | None) -> PriceEvent | None:
    if event_id:
        return price_event_find(organization=organization, event_id=event_id)
    return next(iter(price_events(organization=organization)), None)
