"""A token with which a program calls the API for an organization."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from costadvisor.accounts.models import Scope
from costadvisor.accounts.selectors import organization_get
from costadvisor.accounts.services import token_create
from costadvisor.common.refusal import Refusal


class Command(BaseCommand):
    help = "Make an API token of an organization; it is printed once and kept as its hash only."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="as its address names it, such as acme for /o/acme/")
        parser.add_argument("name", help="what it is for, such as ci")
        parser.add_argument(
            "--scope", action="append", choices=Scope.values, help="what it may do, once or several times (evaluate)"
        )
        parser.add_argument("--days", type=int, default=90, help="until it expires (90)")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            token, secret = token_create(
                organization=organization_get(slug=options["organization"]),
                name=options["name"],
                scopes=[Scope(scope) for scope in options["scope"] or [Scope.EVALUATE]],
                days=options["days"],
                now=timezone.now(),
            )
        except Refusal as error:
            raise CommandError(str(error), returncode=2) from error
        scopes = ", ".join(token.scopes)
        self.stdout.write(
            f"Token {token.name} of {token.organization}, until {token.expires_at:%Y-%m-%d}. Scope: {scopes}."
        )
        self.stdout.write(f"Shown only here: {secret}")
