"""The calibration pages, as people use them: order, check, start, watch, read, import."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from costadvisor.accounts.models import Organization, User
from costadvisor.calibration import estimate
from costadvisor.calibration import page as record_page
from costadvisor.calibration.charts import latency_chart
from costadvisor.calibration.models import CalibrationJob, CalibrationRecord, FailureCode, Tier
from costadvisor.calibration.progress import Progress
from costadvisor.calibration.services.jobs import job_cancel, job_enqueue
from costadvisor.calibration.services.leases import job_claim, job_fail, job_heartbeat, job_succeed
from costadvisor.calibration.services.records import record_import
from costadvisor.workloads.models import Workload
from engine.calibrate import plan
from engine.calibrate.protocol.ask import TIERS
from engine.calibrate.record import Record

LogIn = Callable[[User], Client]
MakeJob = Callable[..., CalibrationJob]
MakeRecord = Callable[..., Record]
HOME = "/o/acme/calibrations/"


@pytest.fixture
def client(alice: User, acme: Organization, log_in: LogIn) -> Client:
    return log_in(alice)


@pytest.fixture
def answers(workload: Workload) -> dict[str, str]:
    return {
        "workload": str(workload.pk), "model_name": "tiny", "device": "cuda", "tier": "quick", "max_minutes": "6",
        "provider": "Lambda", "region": "us-east-1", "usd_per_hour": "2.50", "budget_usd": "0.50",
    }  # fmt: skip


def text(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, answer
    return " ".join(answer.content.decode().split())


def start(job: CalibrationJob, actor: User) -> Any:
    """Queued and claimed."""
    job_enqueue(job=job, actor=actor, now=timezone.now())
    lease = job_claim(job_id=job.pk, attempt=1, worker_id="host:1 task", now=timezone.now())
    assert lease is not None
    return lease


def test_an_order_is_checked_before_it_starts(client: Client, answers: dict[str, str], sent: list[Any]) -> None:
    ordered = client.post(f"{HOME}new/", answers)
    job = CalibrationJob.objects.get()
    assert (ordered.status_code, ordered["Location"]) == (302, f"{HOME}{job.pk}/")
    assert (job.state, job.usd_per_hour, job.budget_usd) == ("draft", Decimal("2.5"), Decimal("0.5"))
    page = text(client, f"{HOME}{job.pk}/")
    assert "Check the answers" in page
    assert "about 4 min 30 s, at most 6 min" in page
    assert "about $0.19, at most $0.25 an attempt" in page
    assert "$0.50, over all attempts" in page
    assert "Lambda, us-east-1" in page
    client.post(f"{HOME}{job.pk}/start/")
    job.refresh_from_db()
    assert job.state == "queued"
    again = client.post(f"{HOME}{job.pk}/start/", follow=True)
    assert "started or cancelled already" in again.content.decode()


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("budget_usd", "0.20", "can cost $0.25, more than the cap of $0.20"),
        ("usd_per_hour", "", "say what the hour costs"),
        ("model_name", "../tiny", "Select a valid choice"),
        ("workload", "999999", "Select a valid choice"),
        ("max_minutes", "0", "greater than or equal to 1"),
        ("max_minutes", "nan", "Enter a number"),
        ("usd_per_hour", "-1", "greater than or equal to 0"),
        ("tier", "thorough", "Select a valid choice"),
    ],
)
def test_a_bad_answer_is_named_and_nothing_is_stored(
    client: Client, answers: dict[str, str], field: str, value: str, complaint: str
) -> None:
    page = client.post(f"{HOME}new/", answers | {field: value}).content.decode()
    assert complaint in page
    assert f'href="#id_{field}"' in page
    assert not CalibrationJob.objects.exists()


@pytest.mark.parametrize(("tier", "minutes"), [("quick", 5), ("standard", 25), ("careful", 44)])
def test_every_tier_of_the_engine_is_offered_with_its_own_minutes(
    client: Client, answers: dict[str, str], tier: str, minutes: float
) -> None:
    ordered = client.post(f"{HOME}new/", answers | {"tier": tier, "max_minutes": "", "budget_usd": ""})
    assert ordered.status_code == 302
    job = CalibrationJob.objects.get()
    assert (job.tier, job.max_minutes) == (tier, minutes)
    assert set(TIERS) == set(Tier.values)


def test_without_a_price_no_cost_is_shown(client: Client, make_job: MakeJob) -> None:
    page = text(client, f"{HOME}{make_job().pk}/")
    assert "unknown: no price was given" in page
    assert "$0" not in page


def test_earlier_answers_are_a_start_but_not_another_organizations(
    client: Client, make_job: MakeJob, charlie: User, log_in: LogIn
) -> None:
    job = make_job(usd_per_hour=Decimal("2.50"), provider="Lambda")
    page = text(client, f"{HOME}new/?like={job.pk}")
    assert 'value="Lambda"' in page
    assert 'value="2.5"' in page
    assert "Lambda" not in log_in(charlie).get(f"/o/rival/calibrations/new/?like={job.pk}").content.decode()
    for odd in ("x", "-1", "²", "9" * 30):
        assert client.get(f"{HOME}new/?like={odd}").status_code == 200


def test_what_is_missing_is_told(client: Client, settings: Any, workload: Workload) -> None:
    settings.CALIBRATION_MODELS = []
    assert "No model is on this machine" in text(client, f"{HOME}new/")
    Workload.objects.all().delete()
    assert "There is no workload yet" in text(client, f"{HOME}new/")


def test_progress_is_live_and_the_page_reloads_at_the_end(
    client: Client, make_job: MakeJob, alice: User, sent: list[Any], make_record: MakeRecord
) -> None:
    job = make_job(usd_per_hour=Decimal(3600))
    live = f"{HOME}{job.pk}/progress/"
    lease = start(job, alice)
    heard = Progress(
        phase="step_map", percent=41.6, message="L3: 8 at a time", seconds_left=75, output_tokens_per_s=250.5
    )
    job_heartbeat(lease=lease, progress=heard, now=timezone.now())
    CalibrationJob.objects.update(started_at=timezone.now() - timedelta(seconds=20))
    fragment = text(client, live)
    for part in (f'hx-get="{live}"', "Step map", "L3: 8 at a time", "42 %", "1 min 15 s", "250", "$20.", "host:1 task"):
        assert part in fragment, part
    assert "<html" not in fragment
    assert "Look again" in text(client, f"{HOME}{job.pk}/")  # without JavaScript
    job_succeed(lease=lease, record=make_record(), now=timezone.now())
    ended = client.get(live)
    assert (ended.status_code, ended["HX-Refresh"], ended.content) == (200, "true", b"")
    page = text(client, f"{HOME}{job.pk}/")
    assert f'href="{HOME}records/{CalibrationRecord.objects.get().pk}/"' in page
    assert "hx-get" not in page


def test_a_failure_is_told_in_words(client: Client, make_job: MakeJob, alice: User, sent: list[Any]) -> None:
    job = make_job()
    job_fail(
        lease=start(job, alice), code=FailureCode.REFUSED, message="--model <b>tiny</b>: no weights", now=timezone.now()
    )
    page = text(client, f"{HOME}{job.pk}/")
    assert "The engine refused the request" in page
    assert "--model &lt;b&gt;tiny&lt;/b&gt;: no weights" in page


def test_cancelling_stops_a_job_that_waits_and_asks_one_that_runs(
    client: Client, make_job: MakeJob, alice: User, sent: list[Any]
) -> None:
    waiting, running = make_job(), make_job()
    job_enqueue(job=waiting, actor=alice, now=timezone.now())
    start(running, alice)
    for job in (waiting, running):
        client.post(f"{HOME}{job.pk}/cancel/")
        job.refresh_from_db()
    assert (waiting.state, running.state, running.cancel_requested) == ("cancelled", "running", True)
    assert "The engine is being stopped" in text(client, f"{HOME}{running.pk}/")
    assert "has ended already" in client.post(f"{HOME}{waiting.pk}/cancel/", follow=True).content.decode()


def test_a_record_says_everything_with_its_source(
    client: Client, make_job: MakeJob, alice: User, sent: list[Any], make_record: MakeRecord
) -> None:
    job = make_job(usd_per_hour=Decimal("2.50"), provider="Lambda")
    job_succeed(lease=start(job, alice), record=make_record(), now=timezone.now())
    record = CalibrationRecord.objects.get()
    page = text(client, f"{HOME}records/{record.pk}/")
    for part in (
        "14.2 requests per second",
        "95 % interval 13.4 to 15.1, simulated",
        "What binds is the time per output token",
        "Plan a replica with 13.4",
        "Grade B",
        "predicted, not verified",
        "says nothing of a GPU",
        "not verified",
        "0.14 (limit 0.1)",
        "other processes took 14 %",
        "Example CPU, 2 cores, 8 GiB of memory",
        "random ones of the model&#x27;s shape",
        "320 output tokens/s with 8 at a time",
        "8 at a time",
        "commit b843ecd",
        "12,850 in the windows",
        "$2.50 an hour, Lambda",
        "host:1 task",
        record.sha256,
    ):
        assert part in page, part
    # The chart is an image with its sentence, its numbers and a download.
    assert 'src="data:image/svg+xml;base64,' in page
    assert "From 4 to 8 requests at a time, throughput goes from 250 to 320 output tokens per second" in page
    assert '<td class="number">320</td>' in page


def test_flags_of_one_kind_share_a_row_and_a_repeated_level_is_drawn_once(make_record: MakeRecord) -> None:
    plain = json.loads(make_record().to_json())
    level = plain["levels"][0]
    disturbed = [level | {"id": f"R{n}", "other_cpu_share": 0.3, "output_tokens_per_s": 9.0} for n in range(3)]
    flag = {"code": "cpu_contended", "limit": 0.1, "message": "taken"}
    flags = [flag | {"level": f"R{n}", "value": 0.3 + n / 10} for n in range(3)]
    record = make_record(levels=plain["levels"] + disturbed, flags=flags)
    (row,) = record_page.flag_rows(record)
    assert (row.where, row.number) == ("3 levels, most R2", "0.5 (limit 0.1)")
    chart = latency_chart(record)
    assert chart is not None
    assert chart.series[0].x == (250.0, 320.0)
    assert latency_chart(make_record(levels=plain["levels"][1:], flags=[])) is None


def test_a_record_without_a_rate_says_why_and_shows_no_number(
    client: Client, acme: Organization, alice: User, make_record: MakeRecord
) -> None:
    derived = json.loads(make_record().to_json())["derived"]
    derived |= {"max_rate": None, "no_rate_because": "slo_unreachable", "binding": None}
    record = make_record(derived=derived, flags=[], hardware={"device": "cpu", "cpu": None, "gpus": []})
    content = record.to_json().encode()
    stored = record_import(organization=acme, actor=alice, file_name="r.json", content=content)
    page = text(client, f"{HOME}records/{stored.pk}/")
    assert "No sustainable rate can be stated" in page
    assert "not even a lone request meets the latency target" in page
    assert "unknown hardware" in page
    listed = text(client, HOME)
    assert "unknown" in listed
    assert ">0<" not in listed


def test_a_record_file_is_imported_and_comes_out_the_same(client: Client, alice: User, make_record: MakeRecord) -> None:
    content = make_record().to_json().encode()
    answer = client.post(f"{HOME}import/", {"file": SimpleUploadedFile("mine.json", content)})
    record = CalibrationRecord.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"{HOME}records/{record.pk}/")
    assert "from mine.json by Alice" in text(client, answer["Location"])
    download = client.get(f"{HOME}records/{record.pk}/download/")
    assert download.content == content
    assert download["Content-Disposition"].startswith("attachment;")
    broken = b'{"schema": "costadvisor.calibration/1"}'
    for bad, complaint in ((content, "stored already"), (broken, "no calibration record"), (b"", "empty")):
        page = client.post(f"{HOME}import/", {"file": SimpleUploadedFile("again.json", bad)}).content.decode()
        assert complaint in page
    assert CalibrationRecord.objects.count() == 1


def test_outsiders_find_nothing_and_viewers_change_nothing(
    acme: Organization, alice: User, bob: User, charlie: User, log_in: LogIn, make_job: MakeJob, sent: list[Any]
) -> None:
    """Success and refusal side by side: the same request by an editor, a viewer and an outsider."""
    editor, viewer, outsider = log_in(alice), log_in(bob), log_in(charlie)
    for action, state in (("start", "queued"), ("cancel", "cancelled")):
        job = make_job()
        url = f"{HOME}{job.pk}/{action}/"
        assert outsider.post(url).status_code == 404
        assert outsider.post(f"/o/rival/calibrations/{job.pk}/{action}/").status_code == 404
        assert viewer.post(url).status_code == 403
        job.refresh_from_db()
        assert job.state == "draft"
        assert editor.post(url).status_code == 302
        job.refresh_from_db()
        assert job.state == state
    assert viewer.get(f"{HOME}{job.pk}/").status_code == 200
    assert "Measure again" not in viewer.get(f"{HOME}{job.pk}/").content.decode()
    for form in ("new/", "import/"):
        assert [client.get(HOME + form).status_code for client in (outsider, viewer, editor)] == [404, 403, 200]


def test_home_shows_what_is_under_way_and_what_was_measured(
    client: Client, make_job: MakeJob, alice: User, sent: list[Any], acme: Organization, make_record: MakeRecord
) -> None:
    job = make_job()
    assert "Calibrations under way" in text(client, "/o/acme/")
    job_cancel(job=job, actor=alice, now=datetime.now(UTC))
    home = text(client, "/o/acme/")
    assert "Calibrations under way" not in home
    assert 'href="/o/acme/calibrations/">Measure</a>' in home
    record_import(organization=acme, actor=alice, file_name="r", content=make_record().to_json().encode())
    assert 'href="/o/acme/calibrations/">Measure</a>' in text(client, "/o/acme/")


def test_the_estimate_plans_as_the_engine_does() -> None:
    assert estimate.USUAL_SHARE == plan.TARGET_SHARE
