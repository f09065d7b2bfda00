"""Acme with a bill, a workload of it, and a decision that compares today's API with a host and two fleets."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.test import Client

from costadvisor.accounts.models import Organization, Role, User
from costadvisor.accounts.services import membership_set, user_create
from costadvisor.decisions.models import Decision
from costadvisor.decisions.selectors import decision_draft, decision_evaluate
from costadvisor.decisions.services.decisions import decision_create
from costadvisor.economics import Evaluation
from costadvisor.spend.services import import_commit, upload_create
from costadvisor.workloads.models import Workload
from costadvisor.workloads.services import workload_derive_from_spend

PASSWORD = "correct horse 7"
AS_OF = date(2026, 11, 10)
LogIn = Callable[[User], Client]
Member = Callable[[str, Role], User]


def bill(k: str = "0.90") -> bytes:
    """Three months of 10 M requests with 1,000 tokens in, 300 of them cached, and 200 out, at k times list price."""
    # 7,000 M tokens at $0.40, 3,000 M cached at $0.10 and 2,000 M out at $1.60: $6,300 at list.
    lines = ["month,provider,model,requests,input_tokens,cached_input_tokens,output_tokens,cost,currency"]
    for month in (8, 9, 10):
        figures = f"{10**7},{10**10},{3 * 10**9},{2 * 10**9},{6300 * float(k):.2f}"
        lines.append(f"2026-{month:02d},openai,gpt-4.1-mini,{figures},USD")
    return "\n".join(lines).encode()


@pytest.fixture
def workload(acme: Organization, alice: User) -> Workload:
    upload = upload_create(organization=acme, actor=alice, file_name="bill.csv", content=bill())
    import_commit(upload=upload, actor=alice)
    return workload_derive_from_spend(
        organization=acme, actor=alice, name="Support", provider="openai", model="gpt-4.1-mini"
    )


@pytest.fixture
def decision(acme: Organization, alice: User, workload: Workload) -> Decision:
    draft = decision_draft(
        workload=workload, api=("openai", "gpt-4.1-mini"), prices=None, as_of=AS_OF, source="entered by alice"
    )
    return decision_create(
        organization=acme,
        actor=alice,
        name="Support",
        workload=workload,
        as_of=AS_OF,
        today=draft.today,
        options=[found.candidate.written for found in draft.proposals if found.suggested],
    )


@pytest.fixture
def member(acme: Organization, alice: User) -> Member:
    def make(name: str, role: Role) -> User:
        user = user_create(email=f"{name}@example.com", password=PASSWORD, name=name.title())
        membership_set(organization=acme, user=user, role=role, actor=alice)
        return user

    return make


@pytest.fixture
def client(alice: User, log_in: LogIn) -> Client:
    """Of Alice, who administers Acme."""
    return log_in(alice)


@pytest.fixture
def home(decision: Decision) -> str:
    return f"/o/acme/decisions/{decision.pk}/"


def evaluation(decision: Decision) -> Evaluation:
    decision.refresh_from_db()
    return decision_evaluate(decision=decision).evaluation


def page_of(client: Client, address: str, **data: Any) -> str:
    """The page's text with its tags, white space in one piece."""
    answer = client.get(address, data)
    assert answer.status_code == 200, (answer.status_code, answer.get("Location"))
    return " ".join(answer.content.decode().split())
