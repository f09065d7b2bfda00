"""The first organization of a new installation, with its admin."""

from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from costadvisor.accounts.services import organization_create, user_create
from costadvisor.common.refusal import Refusal


class Command(BaseCommand):
    help = "Create an organization and its first admin; the password is asked for, or read from a file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the organization's name")
        parser.add_argument("--admin-email", required=True)
        parser.add_argument("--password-file", help="file whose first line is the password")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            with transaction.atomic():
                admin = user_create(email=options["admin_email"], password=_password(options["password_file"]))
                organization = organization_create(name=options["name"], admin=admin)
        except (Refusal, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(f"Created {organization.name} at /o/{organization.slug}/, admin {admin.email}.")


def _password(file_name: str | None) -> str:
    if file_name is None:
        return getpass("Password: ")
    with open(file_name, encoding="utf-8") as file:
        return file.readline().rstrip("\r\n")
