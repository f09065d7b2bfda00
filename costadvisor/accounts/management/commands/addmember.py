"""One more member of an organization."""

import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from costadvisor.accounts.models import Role
from costadvisor.accounts.selectors import organization_get, user_find
from costadvisor.accounts.services import membership_set, user_create
from costadvisor.common.refusal import Refusal


class Command(BaseCommand):
    help = "Make somebody a member, or change a member's role; a new user gets a password, printed once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="as its address names it, such as acme for /o/acme/")
        parser.add_argument("email")
        parser.add_argument("--role", required=True, help=", ".join(Role.values))

    def handle(self, *_: Any, **options: Any) -> None:
        password = secrets.token_urlsafe(12)
        try:
            with transaction.atomic():
                organization, role = organization_get(slug=options["organization"]), _role(options["role"])
                known = user_find(email=options["email"])
                user = known or user_create(email=options["email"], password=password)
                membership_set(organization=organization, user=user, role=role)
        except Refusal as error:
            raise CommandError(str(error), returncode=2) from error
        place = f"{organization.name} at /o/{organization.slug}/"
        self.stdout.write(f"{user.email} is now {role.label.lower()} of {place}.")
        if known is None:
            self.stdout.write(f"Password, shown only here: {password}")


def _role(name: str) -> Role:
    if name not in Role.values:
        raise Refusal(f"There is no role {name}; the roles are {', '.join(Role.values)}.", field="role")
    return Role(name)
