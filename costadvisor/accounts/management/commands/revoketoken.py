"""Takes an API token back."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from costadvisor.accounts.models import ApiToken
from costadvisor.accounts.selectors import organization_get
from costadvisor.accounts.services import token_revoke
from costadvisor.common.refusal import Refusal


class Command(BaseCommand):
    help = "Revoke an API token of an organization, by its name."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="as its address names it, such as acme for /o/acme/")
        parser.add_argument("name")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            organization = organization_get(slug=options["organization"])
        except Refusal as error:
            raise CommandError(str(error), returncode=2) from error
        standing = ApiToken.objects.filter(organization=organization, revoked_at=None).order_by("name")
        token = standing.filter(name=options["name"]).first()
        if token is None:
            known = ", ".join(standing.values_list("name", flat=True))
            raise CommandError(f"There is no token {options['name']}; there is {known or 'none'}.", returncode=2)
        token_revoke(token=token, now=timezone.now())
        self.stdout.write(f"Token {token.name} of {organization} is revoked.")
