"""Every kind of option: added with a few fields, shown again as it stands, corrected, and refused at the field."""

import html
import re
from typing import Any

import pytest
from django.test import Client

from costadvisor.decisions.forms.kinds import OPTION_FORMS, form_of
from costadvisor.decisions.models import Decision
from costadvisor.decisions.selectors import decision_case
from tests.costadvisor.decisions.conftest import evaluation, page_of

Json = dict[str, Any]
H100 = {"measurement": "published:qwen3-8b-h100-fp8-128x128"}
OWNED = {"purchase_usd": "250000", "power_kw": "1.73", "usd_per_kwh": "0.11"}
UNITS = {"provider": "Azure", "model": "gpt-4.1-mini", "usd_per_unit_hour": "1.1", "requests_per_s_per_unit": "0.8"}
# What is posted beside the fields' first values, and what the stored option must have.
ADDED: dict[str, tuple[Json, Json]] = {
    "api": ({"provider": "OpenAI", "model": "gpt-4.1-nano"}, {"provider": "openai", "model": "gpt-4.1-nano"}),
    "host": ({"host": "host:fireworks:qwen/qwen3-8b"}, {"provider": "fireworks", "open_weights": True}),
    "provisioned": (UNITS | {"min_units": "15"}, {"usd_per_unit_hour": "1.1", "min_units": 15}),
    "rented": (H100 | {"policy": "scheduled"}, {"scaling": {"policy": "scheduled", "cold_start_s": 120}}),
    "reserved": (H100 | {"term": "reserved_1y"}, {"hardware/plan": "reserved_1y", "hardware/usd_per_hour": None}),
    "spot": (H100 | {"unavailable_percent": "30"}, {"hardware/spot/unavailable_share": 0.3}),
    "serverless": (H100 | {"idle_timeout_s": "60"}, {"scaling/policy": "scale_to_zero", "scaling/idle_timeout_s": 60}),
    "window": (H100 | {"window_hours_per_day": "6"}, {"scaling/policy": "window", "scaling/window_hours_per_day": 6}),
    "owned": (H100 | OWNED, {"hardware/plan": "owned", "hardware/purchase_usd": "250000", "hardware/power_kw": 1.73}),
    "hybrid": ({"overflow": "today"}, {"overflow": "today"}),
    "routed": ({"large": "today", "small_percent": "62.5"}, {"large": "today", "small_share": 0.625}),
}


@pytest.fixture
def patient(decision: Decision) -> Decision:
    """Everything can wait a day, which a daily window needs; and the fleets of the decision's own."""
    decision.case["workload"]["batchable_share"] = 1
    decision.save()
    return decision


def shown(client: Client, address: str) -> Json:
    """What a form's fields hold, as a browser would send it back."""
    page = client.get(address).content.decode()
    return fields_of(page[page.index('<form class="card"') :])


def fields_of(form: str) -> Json:
    found: Json = {}
    for tag in re.findall(r"<input[^>]*>", form):
        said = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if said.get("type") in ("radio", "checkbox") and " checked" not in tag:
            continue
        if "name" in said and said["name"] != "csrfmiddlewaretoken":
            found.setdefault(said["name"], []).append(html.unescape(said.get("value", "")))
    for name, options in re.findall(r'<select name="(\w+)"(.*?)</select>', form, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', options) or re.search(
            r'<option value="([^"]*)"', options
        )
        found[name] = [html.unescape(chosen[1])] if chosen else []
    return found


def at(option: Json, path: str) -> Any:
    here: Any = option
    for step in path.split("/"):
        here = here.get(step) if isinstance(here, dict) else None
    return here


def test_the_table_has_every_kind() -> None:
    assert ADDED.keys() == OPTION_FORMS.keys()


@pytest.mark.parametrize("kind", ADDED)
def test_a_kind_is_added_shown_again_and_corrected(client: Client, patient: Decision, home: str, kind: str) -> None:
    typed, wanted = ADDED[kind]
    sent = shown(client, f"{home}options/{kind}/") | typed
    answer = client.post(f"{home}options/{kind}/", sent)
    assert answer.status_code == 302, re.findall(r'class="wrong"[^>]*>([^<]*)', answer.content.decode())
    patient.refresh_from_db()
    added = patient.case["options"][-1]
    for path, value in wanted.items():
        assert at(added, path) == value
    assert form_of(added) is OPTION_FORMS[kind]

    change = f"{home}options/{added['id']}/change/"
    assert client.post(change, shown(client, change)).status_code == 302
    before = patient.case
    patient.refresh_from_db()
    assert patient.case == before, "what is sent back as it was shown changes nothing"
    assert evaluation(patient).options[-1].tco_usd is not None


def test_a_correction_says_who_made_it_and_keeps_the_rest(client: Client, decision: Decision, home: str) -> None:
    client.post(f"{home}options/owned/", shown(client, f"{home}options/owned/") | H100 | OWNED)
    decision.refresh_from_db()
    own = decision.case["options"][-1]
    change = f"{home}options/{own['id']}/change/"
    client.post(change, shown(client, change) | {"residual_percent": "12.5", "fte": "0.5", "purchase_usd": "240000"})
    decision.refresh_from_db()
    changed = decision.case["options"][-1]
    assert changed["id"] == own["id"]
    assert changed["capacity"] == own["capacity"]
    assert changed["hardware"] == own["hardware"] | {"residual_share": 0.125, "purchase_usd": "240000"}
    assert changed["operations"] == {"fte": 0.5}
    said = decision.case["evidence"]
    for path in ("hardware/residual_share", "hardware/purchase_usd", "operations/fte", "hardware/power_kw"):
        assert said[f"/options/{own['id']}/{path}"]["source"] == "entered by alice@example.com"
    assert f"/options/{own['id']}/operations/setup_usd" not in said
    assert "owned H100" in page_of(client, home)


def test_an_emptied_field_is_the_default_again(client: Client, decision: Decision, home: str) -> None:
    fleet = next(option for option in decision.case["options"] if option["kind"] == "self_host")
    change, rent = f"{home}options/{fleet['id']}/change/", f"/options/{fleet['id']}/hardware/usd_per_hour"
    client.post(change, shown(client, change) | {"usd_per_hour": "2.22"})
    decision.refresh_from_db()
    assert decision.case["evidence"][rent]["source"] == "entered by alice@example.com"
    client.post(change, shown(client, change) | {"usd_per_hour": ""})
    decision.refresh_from_db()
    assert rent not in decision.case["evidence"]
    assert "median of" in decision_case(decision=decision).evidence[rent].source


def test_todays_api_is_corrected_and_stays_the_baseline(client: Client, decision: Decision, home: str) -> None:
    change = f"{home}options/today/change/"
    client.post(change, shown(client, change) | {"input_usd_per_mtok": "0.3", "output_usd_per_mtok": "1.2"})
    decision.refresh_from_db()
    today = decision.case["options"][0]
    assert today["baseline"] is True
    assert today["prices"] == {
        "input_usd_per_mtok": "0.3", "cached_input_usd_per_mtok": "0.3", "output_usd_per_mtok": "1.2"
    }  # fmt: skip
    assert decision.case["evidence"]["/options/today/prices"]["source"] == "entered by alice@example.com"


def test_another_measurement_brings_its_own_model_and_gpu(client: Client, decision: Decision, home: str) -> None:
    client.post(f"{home}options/rented/", shown(client, f"{home}options/rented/") | H100 | {"usd_per_hour": "2.5"})
    decision.refresh_from_db()
    added = decision.case["options"][-1]
    change = f"{home}options/{added['id']}/change/"
    client.post(change, shown(client, change) | {"measurement": "published:qwen3-8b-l40s-bf16-1024x256"})
    decision.refresh_from_db()
    changed = decision.case["options"][-1]
    assert changed["hardware"] == {"gpu": "L40S", "gpus_per_replica": 1, "plan": "on_demand", "usd_per_hour": "2.5"}
    assert changed["capacity"] == {"record": "published:qwen3-8b-l40s-bf16-1024x256"}


def test_a_spot_price_never_stands_without_its_fallback(client: Client, decision: Decision, home: str) -> None:
    client.post(f"{home}options/spot/", shown(client, f"{home}options/spot/") | H100)
    decision.refresh_from_db()
    spot = decision_case(decision=decision).options[-1]
    assert spot.kind == "self_host"
    assert spot.hardware.spot
    assert spot.hardware.usd_per_hour
    assert spot.hardware.spot.fallback_usd_per_hour > spot.hardware.usd_per_hour
    said = decision_case(decision=decision).evidence[f"/options/{spot.id}/hardware/spot/fallback_usd_per_hour"]
    assert "on-demand offers of H100" in said.source


def test_a_term_without_an_offer_is_estimated_and_the_shorter_one_is_dearer(
    client: Client, decision: Decision, home: str
) -> None:
    form, rents = shown(client, f"{home}options/reserved/") | H100, []
    for term, ratio in (("reserved_1y", "0.63, AWS one-year"), ("reserved_3y", "0.45, GCP three-year")):
        client.post(f"{home}options/reserved/", form | {"term": term})
        decision.refresh_from_db()
        case = decision_case(decision=decision)
        option = case.options[-1]
        assert option.kind == "self_host"
        rents.append(option.hardware.usd_per_hour or 0)
        said = case.evidence[f"/options/{option.id}/hardware/usd_per_hour"]
        assert (said.grade, said.basis) == ("E", "estimated")
        assert f"times {ratio} commitment" in said.source
    assert rents[0] > rents[1] > 0


def test_what_a_kind_needs_first_is_said_where_it_is_chosen(client: Client, decision: Decision, home: str) -> None:
    page = page_of(client, f"{home}options/")
    for kind in OPTION_FORMS.keys() - {"window"}:
        assert f'href="{home}options/{kind}/"' in page
    assert "here 0 % of requests can" in page
    assert "here 0 % of requests can" in page_of(client, f"{home}options/window/")
    for fleet in [option["id"] for option in decision.case["options"] if option["kind"] == "self_host"]:
        client.post(f"{home}options/{fleet}/remove/")
    assert "add that first" in page_of(client, f"{home}options/")


def test_defaults_stand_in_their_fields_with_their_source(client: Client, decision: Decision, home: str) -> None:
    page = html.unescape(page_of(client, f"{home}options/serverless/"))
    for told in (
        "Published: 0.1 to 0.2 FTE (agoradigest.com, 2026-06-21).",
        "Published: 116 to 148 s (gpu-priceperf-bench",
        'name="idle_timeout_s" value="300"',
        'name="usd_per_fte_year" value="200000"',
    ):
        assert told in page


@pytest.mark.parametrize(
    ("kind", "typed", "field", "message"),
    [
        ("owned", H100 | OWNED | {"purchase_usd": ""}, "purchase_usd", "required"),
        ("owned", H100 | OWNED | {"purchase_usd": "0"}, "purchase_usd", "what a replica's hardware costs"),
        ("owned", H100 | OWNED | {"pue": "0.8"}, "pue", "greater than or equal to 1"),
        ("owned", H100 | OWNED | {"residual_percent": "120"}, "residual_percent", "less than or equal to 100"),
        ("owned", H100 | OWNED | {"useful_life_months": "2.5"}, "useful_life_months", "whole number"),
        ("spot", H100 | {"unavailable_percent": "130"}, "unavailable_percent", "less than or equal to 100"),
        ("serverless", H100 | {"keep_warm": "-1"}, "keep_warm", "greater than or equal to 0"),
        ("rented", H100 | {"min_replicas": "3", "max_replicas": "2"}, "max_replicas", "must be at least min_replicas"),
        ("provisioned", UNITS | {"requests_per_s_per_unit": "0"}, "requests_per_s_per_unit", "a number above 0"),
        ("provisioned", UNITS | {"commitment_months": "121"}, "commitment_months", "less than or equal to 120"),
        ("hybrid", {"base": "today", "overflow": "today"}, "base", "Select a valid choice"),
        ("routed", {"small": "today", "large": "today", "small_percent": "50"}, "large", "name another option"),
        ("routed", {"large": "today", "small_percent": "150"}, "small_percent", "less than or equal to 100"),
    ],
)
def test_what_is_wrong_is_said_once_at_its_field(
    client: Client, decision: Decision, home: str, kind: str, typed: Json, field: str, message: str
) -> None:
    sent = shown(client, f"{home}options/{kind}/") | typed
    page = html.unescape(client.post(f"{home}options/{kind}/", sent).content.decode())
    assert f'<a href="#id_{field}">' in page
    assert page.count('<li><a href="#id_') == 1
    assert message in page
    decision.refresh_from_db()
    assert len(decision.case["options"]) == 4


def test_an_option_that_is_not_there_has_no_form(client: Client, decision: Decision, home: str) -> None:
    assert client.get(f"{home}options/nobody/change/").status_code == 404
    assert client.get(f"{home}options/rocket/").status_code == 404
