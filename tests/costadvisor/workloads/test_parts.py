"""Workloads of parts of the bill: split by project and key, with what a log of requests adds, and merged again."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from costadvisor.accounts.models import Organization, User
from costadvisor.decisions.services.decisions import decision_create
from costadvisor.decisions.written import api_option
from costadvisor.spend.models import RequestChunk
from costadvisor.spend.services import import_commit, upload_create
from costadvisor.workloads.merge import NamedProfile, merged
from costadvisor.workloads.models import Workload
from costadvisor.workloads.profile import PeakToMean, Profile, QualityGate, assumed, measured, stated
from costadvisor.workloads.selectors import workload_to_calibration, workload_to_case
from engine.calibrate.workload import workload_read

LogIn = Callable[[User], Client]
WORKLOADS = "/o/acme/workloads/"
START = datetime(2026, 10, 5, tzinfo=UTC)
TEAMS = {"search": (900, 30, 120), "support": (200, 300, 400)}  # tokens in, out, ms to the first token


@pytest.fixture
def client(acme: Organization, alice: User, log_in: LogIn) -> Client:
    return log_in(alice)


def store(organization: Organization, actor: User, content: str) -> None:
    upload = upload_create(organization=organization, actor=actor, file_name="bill", content=content.encode())
    import_commit(upload=upload, actor=actor)


def log(hours: int = 48, shape: float = 0.5) -> str:
    """A LiteLLM log of two teams with gamma arrivals, two a minute in all; key a has twice key b's."""
    generator = np.random.default_rng(11)
    header = (
        "request_id,api_key,spend,total_tokens,prompt_tokens,completion_tokens,startTime,endTime,completionStartTime,"
        "model,custom_llm_provider,metadata,team_id"
    )
    lines, clock = [header], 0.0
    while (clock := clock + float(generator.gamma(shape, 30 / shape))) < hours * 3600:
        team = ("search", "support")[int(generator.integers(2))]
        tokens_in, tokens_out, first_ms = TEAMS[team]
        key = ("a", "a", "b")[len(lines) % 3]
        begun = START + timedelta(seconds=clock)
        first, ended = (
            begun + timedelta(milliseconds=first_ms),
            begun + timedelta(milliseconds=first_ms + 20 * (tokens_out - 1)),
        )
        times = ",".join(
            f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}" for moment in (begun, ended, first)
        )
        tokens = f"{tokens_in + tokens_out},{tokens_in},{tokens_out}"
        lines.append(f"r{len(lines)},{key},0.001,{tokens},{times},gpt-5,openai,{{}},{team}")
    return "\n".join(lines)


def usage(*scopes: tuple[str, str, int], late: str = "") -> str:
    """OpenAI usage of September, by the day: project, key and requests a day, each of 1,000 tokens in and 100 out."""
    buckets = []
    for day in range(30):
        second = int((datetime(2026, 9, 1, tzinfo=UTC) + timedelta(days=day)).timestamp())
        results = [
            {
                "input_tokens": 1000 * count, "output_tokens": 100 * count, "num_model_requests": count,
                "model": "gpt-5", "project_id": project, "api_key_id": key,
            }
            for project, key, count in scopes
            if not (key == "k2" and day in (0, 29))  # a quiet key has no line on each day
            if not (key == late and day < 19)
        ]  # fmt: skip
        buckets.append({"object": "bucket", "start_time": second, "end_time": second + 86400, "results": results})
    return json.dumps({"object": "page", "data": buckets, "has_more": False})


def part(model: str, scope: str) -> str:
    return json.dumps(["openai", model, scope])


def offered(client: Client, by: str) -> list[str]:
    page = client.get(f"{WORKLOADS}from-spend/?by={by}")
    assert page.status_code == 200
    return [name for _, name in page.context["form"].fields["parts"].choices]


def test_the_bill_is_split_by_project_and_by_key(client: Client, acme: Organization, alice: User) -> None:
    store(acme, alice, usage(("p1", "k1", 100), ("p1", "k2", 50), ("p2", "k3", 10)))
    assert offered(client, "model") == ["openai · gpt-5"]
    assert offered(client, "project") == ["openai · gpt-5 · p1", "openai · gpt-5 · p2"]
    assert offered(client, "key") == [f"openai · gpt-5 · {scope}" for scope in ("p1/k1", "p1/k2", "p2/k3")]
    assert offered(client, "odd") == ["openai · gpt-5"]
    chosen = [part("gpt-5", "p1"), part("gpt-5", "p2")]
    answer = client.post(f"{WORKLOADS}from-spend/?by=project", {"name": "Chat", "parts": chosen, "together": "each"})
    assert (answer.status_code, answer["Location"]) == (302, WORKLOADS)
    made = {workload.name: workload.profile for workload in Workload.objects.all()}
    assert {name: profile.requests_per_month.value for name, profile in made.items()} == {
        "Chat: openai · gpt-5 · p1": 30 * 100 + 28 * 50,
        "Chat: openai · gpt-5 · p2": 300,
    }
    assert made["Chat: openai · gpt-5 · p2"].requests_per_month.source == "bill: openai gpt-5 (project p2), Sep 2026"
    # A key that was quiet on the first and the last day of a whole month still has that month.
    answer = client.post(f"{WORKLOADS}from-spend/?by=key", {"name": "Quiet", "parts": [part("gpt-5", "p1/k2")]})
    assert answer.status_code == 302
    assert Workload.objects.get(name="Quiet").profile.requests_per_month.value == 28 * 50


def test_a_key_that_began_late_has_no_month_yet(client: Client, acme: Organization, alice: User) -> None:
    store(acme, alice, usage(("p1", "k1", 100), ("p2", "k3", 10), late="k3"))
    answer = client.post(f"{WORKLOADS}from-spend/?by=key", {"name": "New", "parts": [part("gpt-5", "p2/k3")]})
    assert "no whole month of openai gpt-5 (key p2/k3)" in answer.content.decode()
    answer = client.post(f"{WORKLOADS}from-spend/?by=key", {"name": "Old", "parts": [part("gpt-5", "p1/k1")]})
    assert answer.status_code == 302


def test_parts_chosen_together_are_the_whole_again(client: Client, acme: Organization, alice: User) -> None:
    store(acme, alice, usage(("p1", "k1", 100), ("p2", "k3", 10)))
    chosen = [part("gpt-5", "p1"), part("gpt-5", "p2")]
    client.post(f"{WORKLOADS}from-spend/?by=project", {"name": "Parts", "parts": chosen})
    client.post(f"{WORKLOADS}from-spend/", {"name": "Whole", "parts": [part("gpt-5", "")]})
    parts, whole = (Workload.objects.get(name=name).profile for name in ("Parts", "Whole"))
    for figure in ("requests_per_month", "input_tokens", "output_tokens", "cached_input_share"):
        assert getattr(parts, figure).value == pytest.approx(getattr(whole, figure).value), figure
        assert getattr(parts, figure).basis == getattr(whole, figure).basis


def test_a_log_gives_lengths_burstiness_and_latency_without_a_whole_month(
    client: Client, acme: Organization, alice: User
) -> None:
    store(acme, alice, log())
    assert RequestChunk.objects.exists()
    answer = client.post(f"{WORKLOADS}from-spend/?by=project", {"name": "Support", "parts": [part("gpt-5", "support")]})
    assert answer.status_code == 302, answer.context["form"].errors
    workload = Workload.objects.get()
    profile, lengths = workload.profile, workload.length_distribution
    assert lengths is not None
    assert (profile.input_tokens.value, profile.output_tokens.value) == (200, 300)
    assert profile.requests_per_month.value == pytest.approx(730 * 60, rel=0.1)  # one a minute
    assert profile.requests_per_month.basis == "measured"
    assert profile.today_ttft_p95_ms.value == 400
    assert profile.today_tpot_p95_ms.value == pytest.approx(20)
    assert profile.hourly_shape.basis == "assumed"  # two days are no week
    assert lengths.input_percentiles["p95"] == 200
    page = client.get(f"{WORKLOADS}{workload.pk}/").content.decode()
    assert "log of openai gpt-5 (project support)" in page
    assert "400 ms" in page
    whole = client.post(f"{WORKLOADS}from-spend/", {"name": "All", "parts": [part("gpt-5", "")]})
    assert whole.status_code == 302
    every = Workload.objects.get(name="All")
    assert every.profile.burstiness.value == pytest.approx(0.5, rel=0.2)
    mix = workload_to_calibration(workload=every)["mix"]
    assert {bucket["input"] for bucket in mix} >= {200, 900}
    assert fmean(bucket["weight"] for bucket in mix) * len(mix) == pytest.approx(1)


def test_a_gateways_log_adds_to_the_providers_usage(client: Client, acme: Organization, alice: User) -> None:
    store(acme, alice, usage(("p1", "k1", 100)))
    store(acme, alice, log())
    client.post(f"{WORKLOADS}from-spend/", {"name": "Both", "parts": [part("gpt-5", "")]})
    workload = Workload.objects.get()
    assert workload.profile.requests_per_month.value == 3000  # the whole month's, not the log's
    assert workload.profile.input_tokens.value == 1000
    assert workload.profile.burstiness.source.startswith("bill: log of openai gpt-5: ")
    assert workload.profile.today_ttft_p95_ms.value == 400
    assert workload.length_distribution is not None


def test_what_no_log_says_is_unknown_and_no_default(client: Client, acme: Organization, alice: User) -> None:
    store(acme, alice, usage(("p1", "k1", 100)))
    client.post(f"{WORKLOADS}from-spend/", {"name": "Chat", "parts": [part("gpt-5", "")]})
    page = client.get(f"{WORKLOADS}{Workload.objects.get().pk}/").content.decode()
    assert page.count("no log of requests says") == 2


def test_a_log_of_an_hour_is_no_month(client: Client, acme: Organization, alice: User) -> None:
    store(acme, alice, log(hours=3))
    answer = client.post(f"{WORKLOADS}from-spend/", {"name": "All", "parts": [part("gpt-5", "")]})
    assert "no whole month of openai gpt-5 with requests and tokens, nor a log of a day" in answer.content.decode()
    assert not Workload.objects.exists()


def test_a_part_that_cannot_be_derived_stops_all(client: Client, acme: Organization, alice: User) -> None:
    store(acme, alice, usage(("p1", "k1", 100)))
    store(acme, alice, "month,provider,model,input_tokens,output_tokens\n2026-10,openai,gpt,1000,10")
    chosen = [part("gpt-5", ""), part("gpt", "")]
    page = client.post(f"{WORKLOADS}from-spend/", {"name": "A", "parts": chosen, "together": "each"}).content.decode()
    assert "no whole month of openai gpt with" in page
    assert 'href="#id_parts"' in page
    assert not Workload.objects.exists()


@pytest.mark.parametrize(
    ("change", "field", "complaint"),
    [
        ({"parts": []}, "parts", "Choose at least one part"),
        ({"parts": [part("gpt-4", "")]}, "parts", "Select a valid choice"),
        ({"together": "some"}, "together", "Select a valid choice"),
        ({"name": ""}, "name", "This field is required"),
    ],
)
def test_a_bad_choice_of_parts_is_named(
    client: Client, acme: Organization, alice: User, change: dict[str, Any], field: str, complaint: str
) -> None:
    store(acme, alice, usage(("p1", "k1", 100)))
    data = {"name": "Chat", "parts": [part("gpt-5", "")]} | change
    page = client.post(f"{WORKLOADS}from-spend/", data).content.decode()
    assert complaint in page
    assert f'href="#id_{field}"' in page
    assert not Workload.objects.exists()


def profile(**figures: Any) -> Profile:
    needed = {"requests_per_month": 300.0, "input_tokens": 1000.0, "output_tokens": 100.0}
    return Profile.of({name: stated(value, "us") for name, value in (needed | figures).items()})


def named(name: str, **figures: Any) -> NamedProfile:
    return NamedProfile(name, profile(**figures), None)


def test_merging_adds_averages_and_keeps_the_strictest() -> None:
    one = named(
        "A", cached_input_share=0.5, burstiness=0.5, ttft_p95_ms=200.0, privacy=("own_vpc",), hourly_shape="flat",
        max_commitment_months=12, today_ttft_p95_ms=300.0,
    )  # fmt: skip
    peak = PeakToMean(peak_to_mean=3)
    two = named(
        "B", requests_per_month=100.0, input_tokens=3000.0, hourly_shape=peak, privacy=("no_training",),
        quality_gate=QualityGate(measure="MMLU-Pro", reference="today", margin=0.02), today_ttft_p95_ms=900.0,
    )  # fmt: skip
    whole = merged([one, two]).profile
    assert whole.requests_per_month.value == 400
    assert whole.input_tokens.value == 1500
    assert whole.cached_input_share.value == pytest.approx(300_000 * 0.5 / 600_000)
    assert whole.burstiness.value == pytest.approx(400 / (300 / 0.5 + 100 / 1.0), rel=1e-5)
    assert whole.ttft_p95_ms.value == 200
    assert whole.today_ttft_p95_ms.value == 900  # no later than the slower of the two
    assert whole.today_tpot_p95_ms.value is None
    assert whole.privacy.value == ("no_training", "own_vpc")
    assert whole.max_commitment_months.value == 12
    assert whole.quality_gate.value is not None
    week = whole.hourly_shape.value
    assert isinstance(week, tuple)
    assert max(week) == pytest.approx((300 * 1 + 100 * 3) / 400, rel=1e-4)
    assert fmean(week) == pytest.approx(1, rel=1e-4)
    assert whole.output_tokens.source == "us"  # both say the same
    assert whole.input_tokens.source == "merged from A: us; B: us"


def test_a_merged_figure_is_as_well_founded_as_its_weakest() -> None:
    known = NamedProfile("A", profile().with_figures({"burstiness": measured(0.5, "a log")}), None)
    guessed = NamedProfile("B", profile().with_figures({"burstiness": assumed(2.0)}), None)
    assert merged([known, guessed]).profile.burstiness.basis == "assumed"


def test_growths_interval_narrows_as_independent_parts_are_added() -> None:
    growth = measured(0.03, "bill").model_copy(update={"low": 0.01, "high": 0.05})
    other = growth.model_copy(update={"source": "bill too"})
    parts = [
        NamedProfile(n, profile().with_figures({"growth_per_month": g}), None) for n, g in (("A", growth), ("B", other))
    ]
    whole = merged(parts).profile.growth_per_month
    assert (whole.value, whole.low, whole.high) == pytest.approx(
        (0.03, 0.03 - 0.02 / 2**0.5, 0.03 + 0.02 / 2**0.5), rel=1e-5
    )


def test_workloads_are_merged_on_the_page(
    client: Client, acme: Organization, alice: User, log_in: LogIn, bob: User
) -> None:
    trace = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,300,40\n2023-11-16 18:15:50.99,500,60\n"
    for name, volume in (("A", "300"), ("B", "100")):
        data = {"name": name, "requests_per_month": volume, "trace": SimpleUploadedFile("t.csv", trace)}
        assert client.post(f"{WORKLOADS}from-trace/", data).status_code == 302
    ids = [str(workload.pk) for workload in Workload.objects.all()]
    assert "Merge" in client.get(WORKLOADS).content.decode()
    for bad, complaint in (([], "Choose 2 to"), (ids[:1], "Choose 2 to"), (["77"], "Select a valid choice")):
        page = client.post(f"{WORKLOADS}merge/", {"name": "Both", "workloads": bad}).content.decode()
        assert complaint in page
        assert 'href="#id_workloads"' in page
    assert log_in(bob).post(f"{WORKLOADS}merge/", {"name": "Both", "workloads": ids}).status_code == 403
    answer = client.post(f"{WORKLOADS}merge/", {"name": "A", "workloads": ids, "remove": "on"})
    assert answer.status_code == 302
    whole = Workload.objects.get()
    assert (whole.name, whole.profile.requests_per_month.value) == ("A", 400)
    assert len(workload_to_calibration(workload=whole)["mix"]) == 4
    page = client.get(f"{WORKLOADS}{whole.pk}/").content.decode()
    assert "percentiles of merged traffic are not known" in page


def test_quality_gates_that_differ_are_not_merged_silently(client: Client) -> None:
    gates = [QualityGate(measure=measure, reference="today", margin=0.02) for measure in ("MMLU-Pro", "IFEval")]
    with pytest.raises(Exception, match="quality gates differ"):
        merged([named("A", quality_gate=gates[0]), named("B", quality_gate=gates[1])])


def test_growth_and_prefixes_are_handed_on_without_retyping(client: Client, acme: Organization, alice: User) -> None:
    months = "month,provider,model,requests,input_tokens,cached_input_tokens,output_tokens\n" + "\n".join(
        f"2026-{month:02d},openai,gpt-5,{count},{count * 10},{count},{count}"
        for month, count in enumerate((100, 108, 123, 130, 150, 158), start=5)
    )
    store(acme, alice, months)
    client.post(f"{WORKLOADS}from-spend/", {"name": "Chat", "parts": [part("gpt-5", "")]})
    workload = Workload.objects.get()
    growth = workload.profile.growth_per_month
    assert growth.low is not None
    assert growth.high is not None
    assert growth.low < growth.value < growth.high
    assert "uncertainty" not in workload_to_case(workload=workload)  # the case's own range for the future is wider
    page = client.get(f"{WORKLOADS}{workload.pk}/").content.decode()
    assert "90 % interval" in page
    edit = client.get(f"{WORKLOADS}{workload.pk}/edit/")
    data = {name: value for name, value in edit.context["form"].initial.items() if value not in (None, "", [])}
    data |= {"prefix_hit_percent": "40", "growth_percent_per_month": "2", "today_ttft_p95_ms": "350"}
    assert client.post(f"{WORKLOADS}{workload.pk}/edit/", data).status_code == 302
    workload.refresh_from_db()
    assert workload_to_calibration(workload=workload)["prefix_hit_share"] == 0.4
    changed = workload.profile.growth_per_month
    assert (changed.value, changed.basis, changed.low) == (0.02, "stated", None)
    assert workload.profile.today_ttft_p95_ms.basis == "stated"
    assert workload.profile.input_tokens.basis == "measured"


def test_an_uncertain_growth_widens_what_a_decision_reckons_with(acme: Organization) -> None:
    growth = measured(0.03, "bill").model_copy(update={"low": -0.05, "high": 0.05})
    figures = profile().with_figures({"growth_per_month": growth}).model_dump(mode="json")
    case = workload_to_case(workload=Workload(organization=acme, name="Chat", figures=figures))
    assert case["uncertainty"] == {"/workload/growth_per_month": [-0.05, 0.03, 0.07]}


def test_a_table_of_rates_becomes_a_workload_on_the_page(client: Client) -> None:
    rates = "t_seconds,requests_per_second_all_clients\n" + "\n".join(
        f"{hour * 3600},{1 + hour % 2}" for hour in range(168)
    )
    data = {"name": "Fleet", "rates": SimpleUploadedFile("rates.csv", rates.encode()), "began_at": "2026-10-05 00:00"}
    page = client.post(f"{WORKLOADS}from-series/", data).content.decode()
    assert "Give a table of lengths, or the mean tokens of a request" in page
    assert 'href="#id_input_tokens"' in page
    for field, value, complaint in (
        ("began_at", "soon", "Write a day and a time, such as 2026-10-05 00:00"),
        ("input_tokens", "0", "greater than or equal to 1"),
        ("rates", SimpleUploadedFile("rates.csv", b"a,b"), "rates.csv, line 1: the columns must be"),
        ("lengths", SimpleUploadedFile("l.csv", b"a,b"), "l.csv, line 1: the columns must be"),
    ):
        data["rates"] = SimpleUploadedFile("rates.csv", rates.encode())
        page = client.post(f"{WORKLOADS}from-series/", data | {field: value}).content.decode()
        assert complaint in page
        assert f'href="#id_{field}"' in page
    assert not Workload.objects.exists()
    data |= {"rates": SimpleUploadedFile("rates.csv", rates.encode()), "input_tokens": "100", "output_tokens": "10"}
    assert client.post(f"{WORKLOADS}from-series/", data).status_code == 302
    made = Workload.objects.get().profile
    assert made.requests_per_month.value == pytest.approx(1.5 * 730 * 3600)
    assert made.input_tokens.basis == "stated"
    week = made.hourly_shape.value
    assert isinstance(week, tuple)
    assert week[1] / week[0] == pytest.approx(2, rel=1e-5)


def test_a_workload_is_removed_by_an_editor_only(
    client: Client, log_in: LogIn, bob: User, charlie: User, acme: Organization
) -> None:
    kept = Workload.objects.create(organization=acme, name="Chat", figures=profile().model_dump(mode="json"))
    address = f"{WORKLOADS}{kept.pk}/remove/"
    assert log_in(bob).post(address).status_code == 403
    assert log_in(charlie).post(address).status_code == 404
    assert Workload.objects.exists()
    assert client.post(address).status_code == 302
    assert not Workload.objects.exists()


def test_a_calibration_and_a_decision_take_the_profile_as_it_is(
    acme: Organization, alice: User, tmp_path: Path, client: Client
) -> None:
    """The engine reads the very file that a job hands it; a decision's case holds the week and the growth's range."""
    blocks = [[1, 2], [1, 3], [1, 4], [5, 6]]
    lines = [
        {"timestamp": 1000 * place, "input_length": 1024, "output_length": 20 + place, "hash_ids": ids}
        for place, ids in enumerate(blocks)
    ]
    trace = SimpleUploadedFile("m.jsonl", "\n".join(map(json.dumps, lines)).encode())
    client.post(f"{WORKLOADS}from-trace/", {"name": "Chat", "requests_per_month": "5000", "trace": trace})
    workload = Workload.objects.get()
    file = tmp_path / "workload.json"
    file.write_text(json.dumps(workload_to_calibration(workload=workload)))
    sent = workload_read(file)
    assert sent.mean == (1024, 21.5)
    assert sent.prefix_hit_share == pytest.approx(2 * 512 / 4096)
    week = tuple(1.5 if hour % 24 == 9 else 0.978260869565 for hour in range(168))
    growth = measured(0.03, "bill").model_copy(update={"low": -0.05, "high": 0.05})
    workload.figures = workload.profile.with_figures(
        {"hourly_shape": measured(week, "bill"), "growth_per_month": growth}
    ).model_dump(mode="json")
    workload.save()
    decision = decision_create(
        organization=acme, actor=alice, name="Chat", workload=workload, as_of=date(2026, 11, 10),
        today=api_option(provider="openai", model="gpt-4.1-mini", source="test"), options=[],
    )  # fmt: skip
    assert decision.case["workload"]["hourly_shape"] == list(week)
    assert decision.case["uncertainty"]["/workload/growth_per_month"] == [-0.05, 0.03, 0.07]
    assert decision.case["evidence"]["/workload/requests_per_month"]["basis"] == "assumed"  # stated is on a word too
