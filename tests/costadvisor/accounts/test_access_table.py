"""Who gets what, at every address: a row for each URL name and method, a column for each kind of visitor."""

import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from costadvisor.accounts.models import Organization, Role, User
from costadvisor.accounts.services import membership_set, user_create
from costadvisor.calibration.models import Device, Tier
from costadvisor.calibration.services.jobs import JobSpec, job_create
from costadvisor.calibration.services.records import record_import
from costadvisor.catalog.services.quotes import Given, quote_create
from costadvisor.decisions.services.decisions import decision_create
from costadvisor.decisions.services.recommendations import recommendation_issue
from costadvisor.decisions.written import api_option
from costadvisor.reports import services as report_services
from costadvisor.spend.models import Provider
from costadvisor.spend.provider_keys import ProviderSecret
from costadvisor.spend.services import import_commit, upload_create
from costadvisor.spend.services.keys import provider_key_set
from costadvisor.spend.services.rates import exchange_rate_confirm
from costadvisor.workloads.profile import Profile, assumed
from costadvisor.workloads.services import workload_create
from engine.calibrate.record import Record

VISITORS = ("anonymous", "outsider", "viewer", "editor", "approver", "admin")
READ = (302, 404, 200, 200, 200, 200)
WRITE = (302, 404, 403, 302, 302, 302)
EDIT = (302, 404, 403, 200, 200, 200)  # the form of a write, or one refused for being empty
ADMIN = (302, 404, 403, 403, 403, 200)  # a form of administrators, shown or refused for being empty
NOBODY = (302, 405, 405, 405, 405, 405)  # a method that the address does not know

# name, method → status for each of VISITORS. Login comes before the method; a wrong method before the organization.
TABLE: dict[tuple[str, str], tuple[int, ...]] = {
    ("accounts:login", "GET"): (200, 302, 302, 302, 302, 302),
    ("accounts:login", "POST"): (200, 302, 302, 302, 302, 302),
    ("accounts:logout", "GET"): NOBODY,
    ("accounts:logout", "POST"): (302,) * 6,
    ("home:start", "GET"): (302,) * 6,
    ("home:start", "POST"): NOBODY,
    ("home:selftest", "GET"): (200,) * 6,
    ("home:selftest", "POST"): (405,) * 6,
    ("home:organization", "GET"): READ,
    ("home:organization", "POST"): NOBODY,
    ("spend:overview", "GET"): READ,
    ("spend:overview", "POST"): NOBODY,
    ("spend:reconciliation", "GET"): READ,
    ("spend:reconciliation", "POST"): NOBODY,
    ("spend:upload", "GET"): EDIT,
    ("spend:upload", "POST"): EDIT,
    ("spend:preview", "GET"): EDIT,
    ("spend:preview", "POST"): NOBODY,
    ("spend:mapping", "GET"): WRITE,  # a file in a known format has no columns to be named
    ("spend:mapping", "POST"): WRITE,
    ("spend:confirm", "GET"): NOBODY,
    ("spend:confirm", "POST"): WRITE,
    ("spend:discard", "GET"): NOBODY,
    ("spend:discard", "POST"): WRITE,
    ("spend:typed_cost", "GET"): EDIT,
    ("spend:typed_cost", "POST"): EDIT,
    ("spend:import_remove", "GET"): NOBODY,
    ("spend:import_remove", "POST"): WRITE,
    ("catalog:index", "GET"): READ,
    ("catalog:index", "POST"): NOBODY,
    ("catalog:quote_api", "GET"): EDIT,
    ("catalog:quote_api", "POST"): EDIT,
    ("catalog:quote_gpu", "GET"): EDIT,
    ("catalog:quote_gpu", "POST"): EDIT,
    ("catalog:quote_withdraw", "GET"): NOBODY,
    ("catalog:quote_withdraw", "POST"): WRITE,
    ("spend:rates", "GET"): READ,
    ("spend:rates", "POST"): EDIT,
    ("spend:rate_withdraw", "GET"): NOBODY,
    ("spend:rate_withdraw", "POST"): WRITE,
    ("spend:pulls", "GET"): EDIT,
    ("spend:pulls", "POST"): NOBODY,
    ("spend:pull_key", "GET"): ADMIN,
    ("spend:pull_key", "POST"): ADMIN,
    ("spend:pull_now", "GET"): NOBODY,
    ("spend:pull_now", "POST"): WRITE,
    ("spend:pull_forget", "GET"): NOBODY,
    ("spend:pull_forget", "POST"): (302, 404, 403, 403, 403, 302),
    ("workloads:index", "GET"): READ,
    ("workloads:index", "POST"): NOBODY,
    ("workloads:create", "GET"): EDIT,
    ("workloads:create", "POST"): EDIT,
    ("workloads:from_spend", "GET"): EDIT,
    ("workloads:from_spend", "POST"): EDIT,
    ("workloads:from_trace", "GET"): EDIT,
    ("workloads:from_trace", "POST"): EDIT,
    ("workloads:from_series", "GET"): EDIT,
    ("workloads:from_series", "POST"): EDIT,
    ("workloads:merge", "GET"): EDIT,
    ("workloads:merge", "POST"): EDIT,
    ("workloads:remove", "GET"): NOBODY,
    ("workloads:remove", "POST"): WRITE,
    ("workloads:detail", "GET"): READ,
    ("workloads:detail", "POST"): NOBODY,
    ("workloads:edit", "GET"): EDIT,
    ("workloads:edit", "POST"): EDIT,
    ("workloads:apply_trace", "GET"): EDIT,
    ("workloads:apply_trace", "POST"): EDIT,
    ("calibration:index", "GET"): READ,
    ("calibration:index", "POST"): NOBODY,
    ("calibration:create", "GET"): EDIT,
    ("calibration:create", "POST"): EDIT,
    ("calibration:import_record", "GET"): EDIT,
    ("calibration:import_record", "POST"): EDIT,
    ("calibration:job", "GET"): READ,
    ("calibration:job", "POST"): NOBODY,
    ("calibration:progress", "GET"): READ,
    ("calibration:progress", "POST"): NOBODY,
    ("calibration:start", "GET"): NOBODY,
    ("calibration:start", "POST"): WRITE,
    ("calibration:cancel", "GET"): NOBODY,
    ("calibration:cancel", "POST"): WRITE,
    ("calibration:record", "GET"): READ,
    ("calibration:record", "POST"): NOBODY,
    ("calibration:download", "GET"): READ,
    ("calibration:download", "POST"): NOBODY,
    ("decisions:index", "GET"): READ,
    ("decisions:index", "POST"): NOBODY,
    ("decisions:price_changes", "GET"): READ,
    ("decisions:price_changes", "POST"): NOBODY,
    ("decisions:price_change", "GET"): READ,
    ("decisions:price_change", "POST"): NOBODY,
    ("decisions:create", "GET"): EDIT,
    ("decisions:create", "POST"): EDIT,
    ("decisions:detail", "GET"): READ,
    ("decisions:detail", "POST"): NOBODY,
    ("decisions:chart", "GET"): READ,
    ("decisions:chart", "POST"): NOBODY,
    ("decisions:compare", "GET"): READ,
    ("decisions:compare", "POST"): NOBODY,
    ("decisions:save", "GET"): NOBODY,
    ("decisions:save", "POST"): WRITE,
    ("decisions:issue", "GET"): NOBODY,
    ("decisions:issue", "POST"): WRITE,
    ("decisions:option_kinds", "GET"): EDIT,
    ("decisions:option_kinds", "POST"): NOBODY,
    ("decisions:option_propose", "GET"): EDIT,
    ("decisions:option_propose", "POST"): EDIT,
    ("decisions:option_change", "GET"): EDIT,
    ("decisions:option_change", "POST"): EDIT,
    ("decisions:option_add", "GET"): EDIT,
    ("decisions:option_add", "POST"): EDIT,
    ("decisions:option_remove", "GET"): NOBODY,
    ("decisions:option_remove", "POST"): WRITE,
    ("decisions:recommendation", "GET"): READ,
    ("decisions:recommendation", "POST"): NOBODY,
    ("decisions:version_chart", "GET"): READ,
    ("decisions:version_chart", "POST"): NOBODY,
    ("decisions:sign", "GET"): NOBODY,
    ("decisions:sign", "POST"): EDIT,
    ("decisions:withdraw", "GET"): NOBODY,
    ("decisions:withdraw", "POST"): EDIT,
    ("reports:pdf", "GET"): READ,
    ("reports:pdf", "POST"): NOBODY,
    ("reports:json", "GET"): READ,
    ("reports:json", "POST"): NOBODY,
    ("reports:options_csv", "GET"): READ,
    ("reports:options_csv", "POST"): NOBODY,
    ("reports:assumptions_csv", "GET"): READ,
    ("reports:assumptions_csv", "POST"): NOBODY,
    ("api:evaluate", "GET"): (401,) * 6,  # only a token opens the API: see its own tests
    ("api:evaluate", "POST"): (401,) * 6,
    **{
        (name, method): (401,) * 6
        for name in ("api:price_changes", "api:price_change", "prices_api:quotes", "prices_api:quote")
        for method in ("GET", "POST")
    },
    **{
        (f"spend_api:{name}", method): (401,) * 6
        for name in (
            "uploads",
            "upload",
            "content",
            "columns",
            "preview",
            "import",
            "imports",
            "imported",
            "months",
            "rates",
            "rate",
        )
        for method in ("GET", "POST")
    },
    **{
        (f"workloads_api:{name}", method): (401,) * 6
        for name in ("list", "parts", "derive", "merge", "trace", "workload")
        for method in ("GET", "POST")
    },
    ("verify:case", "GET"): READ,
    ("verify:case", "POST"): NOBODY,
}

AS_OF = date(2026, 11, 10)
BILL = b"month,provider,cost,currency\n%d-10,openai,4,USD\n"
Objects = dict[str, Any]


def url_names(resolver: URLResolver, namespace: str = "") -> set[str]:
    found = set()
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            found |= url_names(entry, f"{entry.namespace}:" if entry.namespace else namespace)
        elif isinstance(entry, URLPattern):
            found.add(f"{namespace}{entry.name}")
    return found


@pytest.fixture
def objects(
    acme: Organization, alice: User, make_record: Callable[[], Record], settings: Any, tmp_path: Path
) -> Objects:
    """Arguments of addresses, by name; every object belongs to Acme."""
    stored = upload_create(organization=acme, actor=alice, file_name="old.csv", content=BILL % 2025)
    profile = Profile(requests_per_month=assumed(1.0), input_tokens=assumed(1.0), output_tokens=assumed(1.0))
    workload = workload_create(organization=acme, actor=alice, name="Chat", profile=profile)
    settings.CALIBRATION_MODELS = [tmp_path]
    (tmp_path / "config.json").write_text("{}")
    spec = JobSpec(model_name=tmp_path.name, device=Device.CPU, tier=Tier.QUICK, max_minutes=5)
    record = make_record().to_json().encode()
    today, other = (api_option(provider="openai", model=f"gpt-4.1-{size}", source="test") for size in ("mini", "nano"))
    decision = decision_create(
        organization=acme, actor=alice, name="Chat", workload=workload, as_of=AS_OF, today=today, options=[other]
    )
    version = recommendation_issue(decision=decision, actor=alice, now=datetime.combine(AS_OF, time(), UTC))
    key = provider_key_set(
        organization=acme, actor=alice, provider=Provider.OPENAI, secret=ProviderSecret("k" * 40), since=AS_OF,
        now=datetime.combine(AS_OF, time(), UTC),
    )  # fmt: skip
    rate = exchange_rate_confirm(
        organization=acme, actor=alice, currency="EUR", month=AS_OF, usd="1.1", as_of=AS_OF, source="test",
        now=datetime.combine(AS_OF, time(), UTC),
    )  # fmt: skip
    given = Given(
        kind="gpu", provider="lambda", item="H100", plan="on_demand", unit="gpu_hour", rent=Decimal(2),
        valid_from=AS_OF, source="test",
    )  # fmt: skip
    quote = quote_create(organization=acme, actor=alice, given=given, now=datetime.combine(AS_OF, time(), UTC))
    return {
        "organization_slug": acme.slug,
        "rate_id": rate.pk,
        "key_id": key.pk,
        "import_id": import_commit(upload=stored, actor=alice).pk,
        "upload_id": upload_create(organization=acme, actor=alice, file_name="new.csv", content=BILL % 2026).pk,
        "workload_id": workload.pk,
        "job_id": job_create(organization=acme, actor=alice, workload=workload, spec=spec).pk,
        "record_id": record_import(organization=acme, actor=alice, file_name="r.json", content=record).pk,
        "decision_id": decision.pk,
        "version": version.version,
        "case_sha256": version.case_sha256,
        "quote_id": quote.pk,
        "event_id": f"quote-{quote.pk}",
        "option_id": "today",
        "kind": "host",
        "chart_id": "cost",
        "form": "csv",
    }


@pytest.fixture
def visitor(acme: Organization, alice: User, charlie: User) -> Callable[[str], Client]:
    def client_of(kind: str) -> Client:
        client = Client()
        if kind == "outsider":
            client.force_login(charlie)
        elif kind != "anonymous":
            user = user_create(email=f"{kind}@example.com", password="correct horse 7")
            membership_set(organization=acme, user=user, role=Role(kind), actor=alice)
            client.force_login(user)
        return client

    return client_of


def ids_of(name: str) -> set[str]:
    """The arguments that an address takes beside its organization."""
    patterns = get_resolver().namespace_dict[name.partition(":")[0]][1].reverse_dict
    arguments = {argument for _, given in patterns.getlist(name.partition(":")[2])[0][0] for argument in given}
    return arguments - {"organization_slug"}


def address(name: str, objects: Objects) -> str:
    """The address of a name, with those of the objects' ids that it takes."""
    of_nobody = (
        "accounts:",
        "home:start",
        "home:selftest",
        "verify:",
        "api:",
        "spend_api:",
        "workloads_api:",
        "prices_api:",
    )
    outer = {"organization_slug"} if not name.startswith(of_nobody) else set()
    return reverse(name, kwargs={key: objects[key] for key in ids_of(name) | outer})


def test_every_address_has_a_row_for_each_method() -> None:
    names = url_names(get_resolver())
    assert {(name, method) for name in names for method in ("GET", "POST")} == set(TABLE)


@pytest.mark.parametrize("kind", VISITORS)
@pytest.mark.parametrize(("name", "method"), TABLE)
def test_status(
    name: str,
    method: str,
    kind: str,
    objects: Objects,
    visitor: Callable[[str], Client],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_services, "_printed", lambda *_: b"%PDF")  # laying out pages is tested elsewhere
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: None)  # and so is what runs beside them
    answer = visitor(kind).generic(method, address(name, objects))
    assert answer.status_code == TABLE[name, method][VISITORS.index(kind)]


def test_nobody_reaches_an_object_through_another_organization(
    objects: Objects, charlie: User, log_in: Callable[[User], Client]
) -> None:
    """charlie is an admin, but of Rival: Acme's ids mean nothing there."""
    client = log_in(charlie)
    elsewhere = objects | {"organization_slug": "rival"}
    for name, method in TABLE:
        url = address(name, elsewhere)
        if ids_of(name):
            assert client.generic(method, url).status_code in {401, 404, 405}, (name, method)
