"""The pages of a decision: begun from the bill, answered, varied in the address, saved, changed."""

import json
import re
from decimal import Decimal
from functools import partial

import pytest
from django.test import Client

from costadvisor.accounts.models import Organization, Role, User
from costadvisor.accounts.services import organization_create
from costadvisor.audit.models import Event
from costadvisor.common.money import amount_text
from costadvisor.decisions.forms.what_if import WhatIfForm
from costadvisor.decisions.models import Decision
from costadvisor.decisions.selectors import decision_case
from costadvisor.decisions.services.decisions import decision_option_add, decision_option_remove, decision_save_case
from costadvisor.decisions.written import api_option
from costadvisor.spend.services import import_commit, upload_create
from costadvisor.workloads.models import Workload
from costadvisor.workloads.services import workload_derive_from_spend
from tests.costadvisor.decisions.conftest import LogIn, Member, bill, evaluation, page_of

START = {"workload": "", "today": "0"}


def figures_of(page: str) -> dict[str, list[str]]:
    """The numbers of each row of the options table, by the option's name."""
    table = page[page.index('<table class="options">') : page.index("</table>", page.index('<table class="options">'))]
    rows = re.findall(r"<tr[^>]*> <th scope=\"row\"[^>]*>(.*?) <span.*?</th>(.*?)</tr>", table)
    return {name: re.sub("<[^>]+>", " ", cells).split() for name, cells in rows}


def test_a_decision_begins_with_the_bill_and_ends_on_its_page(client: Client, workload: Workload) -> None:
    page = page_of(client, "/o/acme/decisions/new/")
    assert "openai · gpt-4.1-mini" in page
    start = {"workload": workload.pk, "today": "0"}
    page = page_of(client, "/o/acme/decisions/new/", **start)
    assert "k = 0.9</strong>: billed $17,000 for what lists at $18,900, Aug 2026 to Oct 2026" in page
    assert "Qwen3-8B on H100" in page
    chosen = re.findall(r'name="options" value="([^"]+)" id="[^"]+" checked', page)
    assert len(chosen) == 3
    address = f"/o/acme/decisions/new/?workload={workload.pk}&today=0"
    answer = client.post(address, {"name": "Support", "options": chosen, "privacy": ["no_training"]})
    decision = Decision.objects.get()
    assert answer["Location"] == f"/o/acme/decisions/{decision.pk}/"
    options = {option["id"]: option for option in decision.case["options"]}
    assert next(iter(options)) == "today"
    assert options["today"]["reconciliation_factor"] == 0.9
    assert options["today"]["privacy"] == ["no_training"]
    assert "prices" not in options["today"], "the catalog prices it, on the day of the case"
    assert decision.case["evidence"]["/workload/requests_per_month"]["basis"] == "billed"


def test_what_a_workload_runs_on_is_its_own_line_of_the_bill(
    client: Client, acme: Organization, alice: User, workload: Workload
) -> None:
    content = bill().replace(b"gpt-4.1-mini", b"gpt-4o").replace(b",5670.00", b",50.00")
    import_commit(upload=upload_create(organization=acme, actor=alice, file_name="b", content=content), actor=alice)
    other = workload_derive_from_spend(organization=acme, actor=alice, name="Search", provider="openai", model="gpt-4o")
    address = "/o/acme/decisions/new/"
    assert preselected(page_of(client, address)) == "openai · gpt-4o", "that of Search, the first by name"
    assert preselected(page_of(client, address, workload=workload.pk)) == "openai · gpt-4.1-mini"
    assert preselected(page_of(client, address, workload=other.pk)) == "openai · gpt-4o"


def preselected(page: str) -> str:
    (label,) = re.findall(r'<input type="radio" name="today"[^>]* checked> ([^<]+)</label>', page)
    return str(label).strip()


def test_a_decision_begins_with_something_to_compare(client: Client, workload: Workload) -> None:
    address = f"/o/acme/decisions/new/?workload={workload.pk}&today=0"
    page = client.post(address, {"name": "Support"}).content.decode()
    assert page.count('<li><a href="#id_') == 1
    assert '<a href="#id_options">' in page
    assert "Choose at least one option to compare with." in page
    assert not Decision.objects.exists()


def test_an_api_nobody_has_a_price_of_is_refused_until_its_prices_are_given(client: Client, workload: Workload) -> None:
    start = {"workload": workload.pk, "today": "another", "provider": "openai", "model": "gpt-4.1-minni"}
    page = page_of(client, "/o/acme/decisions/new/", **start)
    assert '<a href="#id_model">' in page
    assert "did you mean gpt-4.1-mini" in page
    assert "What to compare it with" not in page
    page = page_of(client, "/o/acme/decisions/new/", **start, input_usd_per_mtok="1")
    assert "Give the input and the output price, or neither." in page
    page = page_of(client, "/o/acme/decisions/new/", **start, input_usd_per_mtok="1", output_usd_per_mtok="3")
    assert "priced at the prices given above" in page


def test_without_a_workload_there_is_nothing_to_decide(client: Client, acme: Organization) -> None:
    assert "none is described yet" in page_of(client, "/o/acme/decisions/new/")


def test_the_page_shows_the_evaluation(client: Client, decision: Decision, home: str) -> None:
    page, found = page_of(client, home), evaluation(decision)
    assert found.verdict.sentence.replace("'", "&#x27;") in page
    assert all(reason.replace("'", "&#x27;") in page for reason in found.verdict.reasons)
    rows = figures_of(page)
    assert len(rows) == len(found.options) == 4
    for row, (name, shown) in zip(found.options, rows.items(), strict=True):
        assert row.usd_per_month is not None, name
        assert row.tco_usd is not None, name
        for amount in (row.usd_per_month, row.tco_usd):
            assert {f"{amount.p10:,.0f}", f"{amount.p50:,.0f}", f"{amount.p90:,.0f}"} <= set(shown), name
        assert amount_text(row.usd_per_mtok, places=3) in shown, name
    for message in (row.message for row in found.break_even):
        assert message in page
    assert all(line.replace("'", "&#x27;") in page for line in found.limitations)
    assert f"Checks: {len(found.checks) - 1} of {len(found.checks) - 1} passed" in page
    assert "priced at list times k = 0.9 (billed: $17,000 for what lists at $18,900" in page


def test_each_chart_has_its_sentence_its_numbers_and_its_files(client: Client, home: str) -> None:
    page = page_of(client, home)
    for chart in ("cost", "week", "sensitivity"):
        figure = json.loads(re.findall(rf'<script id="{chart}" type="application/json">(.*?)</script>', page)[0])
        assert {"data", "layout"} == figure.keys()
        assert f'<noscript><img src="{home}charts/{chart}.svg" alt="' in page
        picture = client.get(f"{home}charts/{chart}.svg")
        assert picture["Content-Type"] == "image/svg+xml"
        assert picture["Content-Disposition"] == f'attachment; filename="{chart}.svg"', (
            "its styles are refused in a tab"
        )
        assert picture.content.startswith(b"<svg")
        numbers = client.get(f"{home}charts/{chart}.csv").content.decode().splitlines()
        assert len(numbers) > 5
    assert "data-chart" in page
    assert "style=" not in page, "inline styles are refused by the policy"
    assert client.get(f"{home}charts/pie.svg").status_code == 404


def test_what_if_stays_in_the_address_until_it_is_saved(client: Client, decision: Decision, home: str) -> None:
    saved = page_of(client, home)
    page = page_of(client, home, requests_per_month="20000000")
    assert "What if: Requests per month 20,000,000. Nothing of it is saved." in page
    assert figures_of(page) != figures_of(saved)
    assert f"{home}charts/cost.svg?requests_per_month=20000000" in page
    assert figures_of(page_of(client, home)) == figures_of(saved)
    assert client.post(f"{home}save/?requests_per_month=20000000")["Location"] == home
    decision.refresh_from_db()
    assert decision.case["workload"]["requests_per_month"] == 20_000_000
    assert decision.case["evidence"]["/workload/requests_per_month"]["source"] == "entered by alice@example.com"
    assert figures_of(page_of(client, home)) == figures_of(page)
    newest = Event.objects.filter(organization_id=decision.organization_id)[0]
    assert newest.details["changed"] == ["requests_per_month"]


def test_what_somebody_else_saved_meanwhile_stays(alice: User, decision: Decision) -> None:
    """Two people opened the page before either of them changed anything."""
    first, second, third = (Decision.objects.get(pk=decision.pk) for _ in range(3))
    form = WhatIfForm({"fte": "0.5", "growth_percent": "1"}, case=decision_case(decision=third))
    assert form.is_valid()
    taken_out = first.case["options"][-1]["id"]
    decision_option_add(
        decision=first, actor=alice, written=api_option(provider="openai", model="gpt-4.1-nano", source="")
    )
    decision_option_remove(decision=second, actor=alice, option_id=taken_out)
    decision_save_case(decision=third, actor=alice, change=partial(form.case, source="alice"), changed=["fte"])
    decision.refresh_from_db()
    options = {option["id"]: option for option in decision.case["options"]}
    assert "openai" in options
    assert taken_out not in json.dumps(decision.case)
    assert decision.case["workload"]["growth_per_month"] == 0.01
    assert [option["operations"]["fte"] for option in options.values() if option["kind"] == "self_host"] == [0.5]


def test_the_address_says_only_what_differs(client: Client, home: str) -> None:
    page = client.get(home)
    form = page.context["form"]
    everything = {field: form[field].value() for field in form.fields}
    assert client.get(home, everything)["Location"] == home
    assert client.get(home, everything | {"fte": "0"})["Location"] == f"{home}?fte=0"
    part = client.get(home, everything | {"fte": "0"}, headers={"HX-Request": "true"})
    assert (part.status_code, part["HX-Push-Url"]) == (200, f"{home}?fte=0")


def test_one_number_may_turn_several_options(client: Client, decision: Decision, home: str) -> None:
    client.post(f"{home}save/?fte=0.5&headroom_percent=30&usd_per_hour_h100=2.5&peak_to_mean=3&api_drift_percent=-10")
    decision.refresh_from_db()
    fleets = {option["hardware"]["gpu"]: option for option in decision.case["options"] if option["kind"] == "self_host"}
    assert len(fleets) == 2
    assert all(fleet["operations"]["fte"] == 0.5 and fleet["scaling"]["headroom"] == 0.3 for fleet in fleets.values())
    assert fleets["H100"]["hardware"]["usd_per_hour"] == 2.5
    assert [gpu for gpu, fleet in fleets.items() if "usd_per_hour" not in fleet["hardware"]] != ["H100"]
    assert decision.case["workload"]["hourly_shape"] == {"peak_to_mean": 3}
    assert decision.case["drift"] == {"api_price_per_year": -0.1}
    page = page_of(client, home)
    assert "$2.50" in page
    assert evaluation(decision).options


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("requests_per_month", "0", "greater than or equal to 1"),
        ("requests_per_month", "many", "Enter a number."),
        ("cached_input_percent", "130", "less than or equal to 100"),
        ("peak_to_mean", "30", "less than or equal to 24"),
        ("horizon_months", "2.5", "must be a whole number of months"),
        ("growth_percent", "-100", "must be a rate"),
        ("as_of", "soon", "Enter a valid date."),
    ],
)
def test_a_refused_value_is_one_error_at_its_field(
    client: Client, decision: Decision, home: str, field: str, value: str, message: str
) -> None:
    page = page_of(client, home, **{field: value})
    assert page.count('role="alert"') == 1
    assert page.count('<li><a href="#id_') == 1
    assert f'<a href="#id_{field}">' in page
    assert message in page
    assert '<table class="options">' not in page
    before = decision.case
    client.post(f"{home}save/?{field}={value}")
    decision.refresh_from_db()
    assert decision.case == before


def test_a_day_without_prices_is_an_error_where_the_price_would_be(client: Client, home: str) -> None:
    page = page_of(client, home, as_of="2020-01-01")
    assert "no on_demand offer of" in page
    assert '<a href="#id_usd_per_hour_' in page


def test_a_viewer_reads_and_varies_and_an_editor_saves(
    decision: Decision, home: str, bob: User, charlie: User, member: Member, log_in: LogIn
) -> None:
    viewer = log_in(bob)
    page = page_of(viewer, home, fte="1")
    assert "Save these values" not in page
    assert "Issue a version" not in page_of(viewer, home)
    for address in (f"{home}save/?fte=1", f"{home}issue/", f"{home}options/h100/remove/"):
        assert viewer.post(address).status_code == 403
    assert "operations" not in json.dumps(Decision.objects.get().case)
    assert log_in(member("erin", Role.EDITOR)).post(f"{home}save/?fte=1").status_code == 302
    assert '"fte": 1' in json.dumps(Decision.objects.get().case)
    assert log_in(charlie).get(home).status_code == 404


def test_a_case_over_http_reads_no_file(client: Client, decision: Decision, home: str) -> None:
    decision.case["options"][-1]["capacity"] = {"record": "/etc/passwd"}
    decision.save()
    page = page_of(client, home)
    assert "files are read on the command line only" in page
    assert '<table class="options">' not in page
    client.post(f"{home}options/{decision.case['options'][-1]['id']}/remove/")
    assert '<table class="options">' in page_of(client, home), "without that option there is an answer again"


def test_a_quality_gate_excludes_what_is_not_known_to_pass(client: Client, acme: Organization) -> None:
    workload = Workload.objects.create(organization=acme, name="Gated", figures={})
    figure = {"basis": "assumed", "source": "x"}
    gate = {"measure": "ifeval", "reference": "today", "margin": 0.1}
    values = {"requests_per_month": 1e7, "input_tokens": 1000.0, "output_tokens": 200.0, "quality_gate": gate}
    workload.figures = {name: figure | {"value": value} for name, value in values.items()}
    workload.save()
    start = f"?workload={workload.pk}&today=another&provider=openai&model=gpt-4.1-mini"
    page = page_of(client, f"/o/acme/decisions/new/{start}")
    assert "Own score on ifeval, %" in page
    keys = ["host:novita:meta-llama/llama-3.3-70b-instruct", "published:qwen3-8b-h100-bf16-1024x256"]
    answer = client.post(f"/o/acme/decisions/new/{start}", {"name": "Gated", "options": keys})
    page = page_of(client, answer["Location"])
    assert page.count('<p class="why">Excluded:') == 1
    assert "llama-3.3-70b-instruct at novita" in page


def test_a_name_is_taken_once_in_an_organization(
    client: Client, workload: Workload, decision: Decision, charlie: User
) -> None:
    address = f"/o/acme/decisions/new/?workload={workload.pk}&today=0"
    option = "host:novita:meta-llama/llama-3.3-70b-instruct"
    page = client.post(address, {"name": "Support", "options": [option]}).content.decode()
    assert "There is a decision called “Support” already" in page
    assert '<a href="#id_name">' in page


def test_the_workload_may_change_without_the_decision(client: Client, workload: Workload, decision: Decision) -> None:
    before = evaluation(decision)
    workload.figures["requests_per_month"]["value"] = 1.0
    workload.save()
    assert evaluation(decision) == before
    assert before.options[0].usd_per_month is not None
    assert before.options[0].usd_per_month.point == pytest.approx(Decimal("5670"), rel=Decimal("0.001"))


def test_another_organizations_workload_is_none_of_mine(client: Client, alice: User, workload: Workload) -> None:
    organization_create(name="Second", admin=alice)
    page = page_of(client, f"/o/second/decisions/new/?workload={workload.pk}&today=another")
    assert "Support" not in page
