"""Workloads from the bill, from a trace and by hand; and what a case gets of them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from costadvisor.accounts.models import Organization, User
from costadvisor.spend.services import import_commit, upload_create
from costadvisor.workloads.models import Workload
from costadvisor.workloads.selectors import workload_to_calibration, workload_to_case

LogIn = Callable[[User], Client]
TRACE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,300,40\n2023-11-16 18:15:50.99,500,60\n"
FORM = {
    "name": "Support assistant",
    "requests_per_month": "1200000",
    "input_tokens": "1155",
    "output_tokens": "211",
    "cached_input_percent": "30",
    "batchable_percent": "0",
    "growth_percent_per_month": "0",
    "hourly_shape": "flat",
    "burstiness": "1",
    "ttft_p95_ms": "1000",
    "tpot_p95_ms": "50",
    "quality_reference": "today",
}


@pytest.fixture
def client(acme: Organization, alice: User, log_in: LogIn) -> Client:
    return log_in(alice)


def import_bill(organization: Organization, actor: User, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    import_commit(
        upload=upload_create(organization=organization, actor=actor, file_name="b", content=data), actor=actor
    )


def months(*requests: int) -> str:
    """A bill from May 2026 on, with 1,000 tokens in, 300 of them cached, and 200 out per request."""
    lines = ["month,provider,model,requests,input_tokens,cached_input_tokens,output_tokens,cost,currency"]
    for number, count in enumerate(requests, start=5):
        lines.append(f"2026-{number:02d},openai,gpt-4o-mini,{count},{count * 1000},{count * 300},{count * 200},5,USD")
    return "\n".join(lines)


def part(provider: str = "openai", model: str = "gpt-4o-mini", scope: str = "") -> str:
    return json.dumps([provider, model, scope])


def derive(client: Client, name: str = "Chat", chosen: str = part()) -> Workload:
    answer = client.post("/o/acme/workloads/from-spend/", {"name": name, "parts": [chosen]})
    assert answer.status_code == 302, answer.content.decode()
    return Workload.objects.get(name=name)


def test_the_bill_gives_volume_lengths_and_cached_share(client: Client, acme: Organization, alice: User) -> None:
    import_bill(acme, alice, months(100, 1000, 2000, 3000))
    workload = derive(client)
    profile = workload.profile
    assert profile.requests_per_month.value == 2000  # the last three months
    assert (profile.input_tokens.value, profile.output_tokens.value) == (1000, 200)
    assert profile.cached_input_share.value == pytest.approx(0.3)
    assert profile.requests_per_month.source == "bill: openai gpt-4o-mini, Jun 2026 to Aug 2026"
    page = client.get(f"/o/acme/workloads/{workload.pk}/").content.decode()
    assert "2,000" in page
    assert "bill: openai gpt-4o-mini" in page
    assert "The shape of the week is not measured" in page
    # Four months are too few for a trend; it stays assumed.
    assert (profile.growth_per_month.value, profile.growth_per_month.basis) == (0.0, "assumed")


def test_the_cached_share_is_that_of_the_months_that_state_it(client: Client, acme: Organization, alice: User) -> None:
    bill = months(9, 9, 5000, 1000)
    import_bill(acme, alice, bill.replace(",5000,5000000,1500000,", ",5000,5000000,,"))
    figures = derive(client).profile
    assert figures.requests_per_month.source == "bill: openai gpt-4o-mini, Jun 2026 to Aug 2026"
    share = figures.cached_input_share
    assert share.value == pytest.approx(0.3)
    assert share.basis == "measured"
    assert share.source == "bill: openai gpt-4o-mini, Jun 2026, Aug 2026"


def test_growth_is_measured_from_six_months_on(client: Client, acme: Organization, alice: User) -> None:
    import_bill(acme, alice, months(*(round(100_000 * 1.1**month) for month in range(6))))
    growth = derive(client).profile.growth_per_month
    assert growth.value == pytest.approx(0.1, rel=1e-3)
    assert growth.basis == "measured"


def test_usage_by_the_hour_gives_the_week(client: Client, acme: Organization, alice: User) -> None:
    start, buckets = datetime(2026, 9, 1, tzinfo=UTC), []
    for hour in range(30 * 24):
        moment = start + timedelta(hours=hour)
        count = 300 if moment.hour == 14 else 100
        result = {"input_tokens": count * 50, "output_tokens": count * 5, "num_model_requests": count, "model": "gpt-5"}
        second = int(moment.timestamp())
        buckets.append({"object": "bucket", "start_time": second, "end_time": second + 3600, "results": [result]})
    import_bill(acme, alice, json.dumps({"object": "page", "data": buckets, "has_more": False}))
    workload = derive(client, chosen=part(model="gpt-5"))
    case = workload_to_case(workload=workload)["workload"]
    assert len(case["hourly_shape"]) == 168
    assert case["hourly_shape"][14] / case["hourly_shape"][13] == pytest.approx(3)
    assert workload.profile.requests_per_month.value == 30 * (23 * 100 + 300)
    page = client.get(f"/o/acme/workloads/{workload.pk}/").content.decode()
    assert "The busiest hour is" in page
    assert 'class="heat-5"' in page


def test_a_month_that_still_runs_is_no_month_of_volume(client: Client, acme: Organization, alice: User) -> None:
    start, buckets = datetime(2026, 9, 1, tzinfo=UTC), []
    for day in range(40):  # all of September and ten days of October
        result = {"input_tokens": 5000, "output_tokens": 500, "num_model_requests": 100, "model": "gpt-5"}
        second = int((start + timedelta(days=day)).timestamp())
        buckets.append({"start_time": second, "end_time": second + 86400, "results": [result]})
    import_bill(acme, alice, json.dumps({"object": "bucket", "data": buckets}))
    volume = derive(client, chosen=part(model="gpt-5")).profile.requests_per_month
    assert (volume.value, volume.source) == (3000, "bill: openai gpt-5, Sep 2026")


def test_a_bill_without_a_whole_month_of_requests_says_so(client: Client, acme: Organization, alice: User) -> None:
    import_bill(acme, alice, "month,provider,model,input_tokens,output_tokens\n2026-10,openai,gpt,1000,10")
    answer = client.post("/o/acme/workloads/from-spend/", {"name": "Chat", "parts": [part(model="gpt")]})
    assert "The bill has no whole month of openai gpt with requests and tokens" in answer.content.decode()
    assert not Workload.objects.exists()


def test_a_trace_gives_lengths_and_leaves_the_volume_to_a_person(client: Client) -> None:
    data = {"name": "Chat", "requests_per_month": "5000", "trace": SimpleUploadedFile("conv.csv", TRACE)}
    assert client.post("/o/acme/workloads/from-trace/", data).status_code == 302
    workload = Workload.objects.get()
    profile = workload.profile
    assert (profile.input_tokens.value, profile.output_tokens.value) == (400, 50)
    assert (profile.input_tokens.basis, profile.requests_per_month.basis) == ("measured", "stated")
    assert "conv.csv: 2 requests" in profile.input_tokens.source
    assert "alice@example.com" in profile.requests_per_month.source
    mix = workload_to_calibration(workload=workload)["mix"]
    assert mix == [{"input": 300, "output": 40, "weight": 0.5}, {"input": 500, "output": 60, "weight": 0.5}]


def test_a_trace_refines_a_workload_from_the_bill(client: Client, acme: Organization, alice: User) -> None:
    import_bill(acme, alice, months(100, 1000, 2000))
    workload = derive(client)
    address = f"/o/acme/workloads/{workload.pk}/trace/"
    assert client.post(address, {"trace": SimpleUploadedFile("conv.csv", TRACE)}).status_code == 302
    workload.refresh_from_db()
    assert workload.profile.input_tokens.value == 400
    assert workload.profile.requests_per_month.source.startswith("bill:")
    assert workload.length_distribution is not None


def test_a_bad_trace_names_its_line_and_stores_nothing(client: Client) -> None:
    trace = SimpleUploadedFile("conv.csv", TRACE + b"soon,1,1\n")
    answer = client.post("/o/acme/workloads/from-trace/", {"name": "Chat", "requests_per_month": "5", "trace": trace})
    page = answer.content.decode()
    assert "The trace conv.csv line 4: TIMESTAMP is &#x27;soon&#x27;" in page
    assert 'href="#id_trace"' in page
    assert not Workload.objects.exists()


def test_a_workload_by_hand_becomes_exactly_the_objects_of_a_case(client: Client) -> None:
    data = FORM | {
        "hourly_shape": "peak",
        "peak_to_mean": "2.2",
        "slo_preset": "chat",
        "privacy": ["own_vpc", "in_region"],
        "quality_measure": "MMLU-Pro",
        "quality_margin_percent": "2",
        "max_commitment_months": "12",
    }
    assert client.post("/o/acme/workloads/new/", data).status_code == 302
    assert workload_to_case(workload=Workload.objects.get()) == {
        "workload": {
            "requests_per_month": 1200000,
            "input_tokens": {"mean": 1155},
            "output_tokens": {"mean": 211},
            "cached_input_share": 0.3,
            "batchable_share": 0.0,
            "hourly_shape": {"peak_to_mean": 2.2},
            "burstiness": 1.0,
            "growth_per_month": 0.0,
        },
        "slo": {"ttft_p95_ms": 200, "tpot_p95_ms": 50},
        "constraints": {
            "privacy": ["own_vpc", "in_region"],
            "min_quality": {"measure": "MMLU-Pro", "reference": "today", "margin": 0.02},
            "max_commitment_months": 12,
        },
    }


def test_only_what_a_person_changes_becomes_their_word(client: Client, acme: Organization, alice: User) -> None:
    # 1,000 / 3 has more digits than the form shows: a field left alone must keep them.
    lines = (
        "month,provider,model,requests,input_tokens,cached_input_tokens,output_tokens\n2026-10,openai,gpt,3,1000,100,7"
    )
    import_bill(acme, alice, lines)
    workload = derive(client, chosen=part(model="gpt"))
    page = client.get(f"/o/acme/workloads/{workload.pk}/edit/")
    data = {name: value for name, value in page.context["form"].initial.items() if value not in (None, "", [])}
    assert data["input_tokens"] == 333.333
    answer = client.post(f"/o/acme/workloads/{workload.pk}/edit/", data | {"cached_input_percent": "20"})
    assert answer.status_code == 302
    workload.refresh_from_db()
    profile = workload.profile
    assert profile.input_tokens.value == 333.333
    assert profile.input_tokens.basis == "measured"
    assert (profile.cached_input_share.value, profile.cached_input_share.basis) == (0.2, "stated")
    assert profile.cached_input_share.source == "entered by alice@example.com"


def test_lengths_typed_by_hand_part_from_the_trace(client: Client) -> None:
    data = {"name": "Chat", "requests_per_month": "5000", "trace": SimpleUploadedFile("conv.csv", TRACE)}
    client.post("/o/acme/workloads/from-trace/", data)
    workload = Workload.objects.get()
    client.post(f"/o/acme/workloads/{workload.pk}/edit/", FORM)
    workload.refresh_from_db()
    assert workload.length_distribution is None
    assert workload_to_calibration(workload=workload) == {
        "burstiness": 1.0,
        "input_tokens": {"mean": 1155},
        "output_tokens": {"mean": 211},
    }


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"requests_per_month": "0"}, "requests_per_month", "greater than or equal to 1"),
        ({"requests_per_month": "nan"}, "requests_per_month", "Enter a number"),
        ({"cached_input_percent": "101"}, "cached_input_percent", "less than or equal to 100"),
        ({"hourly_shape": "peak"}, "peak_to_mean", "Say how many times the mean hour"),
        ({"hourly_shape": "week"}, "hourly_shape", "Select a valid choice"),
        ({"quality_measure": "MMLU"}, "quality_margin_percent", "A quality measure needs this too"),
        ({"privacy": ["secret"]}, "privacy", "Select a valid choice"),
        ({"name": ""}, "name", "This field is required"),
    ],
)
def test_a_bad_figure_is_refused_by_field(client: Client, change: dict[str, Any], field: str, message: str) -> None:
    page = client.post("/o/acme/workloads/new/", FORM | change).content.decode()
    assert f'href="#id_{field}"' in page
    assert message in page
    assert not Workload.objects.exists()


def test_a_name_is_taken_once_in_an_organization(client: Client, charlie: User, log_in: LogIn) -> None:
    assert client.post("/o/acme/workloads/new/", FORM).status_code == 302
    assert "already; choose another name" in client.post("/o/acme/workloads/new/", FORM).content.decode()
    assert log_in(charlie).post("/o/rival/workloads/new/", FORM).status_code == 302


def test_a_viewer_reads_and_an_editor_writes(client: Client, bob: User, charlie: User, log_in: LogIn) -> None:
    client.post("/o/acme/workloads/new/", FORM)
    address = f"/o/acme/workloads/{Workload.objects.get().pk}/"
    page = log_in(bob).get(address)
    assert page.status_code == 200
    assert "Change figures" not in page.content.decode()
    assert log_in(bob).post(f"{address}edit/", FORM).status_code == 403
    assert log_in(charlie).get(address).status_code == 404
    assert log_in(charlie).get(address.replace("acme", "rival")).status_code == 404
    assert client.post(f"{address}edit/", FORM | {"name": "Renamed"}).status_code == 302
    assert Workload.objects.get().name == "Renamed"
