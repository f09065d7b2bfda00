"""What all tests share. In tests of pages, alice owns Acme, bob looks on, charlie is an outsider."""

import os
from collections.abc import Callable

import pytest
from django.test import Client

from costadvisor.accounts.models import Organization, Role, User
from costadvisor.accounts.services import membership_set, organization_create, user_create

# The kernels run on Triton's interpreter, which has to be asked for before anything imports Triton; transformers does.
os.environ.setdefault("TRITON_INTERPRET", "1")

PASSWORD = "correct horse 7"
LogIn = Callable[[User], Client]


@pytest.fixture
def alice(db: None) -> User:
    return user_create(email="alice@example.com", password=PASSWORD, name="Alice")


@pytest.fixture
def acme(alice: User) -> Organization:
    return organization_create(name="Acme", admin=alice)


@pytest.fixture
def bob(acme: Organization, alice: User) -> User:
    user = user_create(email="bob@example.com", password=PASSWORD)
    membership_set(organization=acme, user=user, role=Role.VIEWER, actor=alice)
    return user


@pytest.fixture
def charlie(db: None) -> User:
    user = user_create(email="charlie@example.com", password=PASSWORD)
    organization_create(name="Rival", admin=user)
    return user


@pytest.fixture
def log_in() -> LogIn:
    def client_of(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return client_of


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables that tests recorded, wherever they ran."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, text in report.user_properties:
                if name == "table":
                    terminalreporter.section(report.nodeid)
                    terminalreporter.write_line(str(text))
