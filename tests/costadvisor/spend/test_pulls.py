"""Bills fetched by a key from a server that answers as the providers do: pages, limits, mishaps, and never twice."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from costadvisor.accounts.models import Organization, User
from costadvisor.spend import tasks
from costadvisor.spend.models import BillImport, BillPull, PendingUpload, Provider, ProviderKey, PullState, SpendLine
from costadvisor.spend.provider_keys import ProviderSecret
from costadvisor.spend.pulling import http
from costadvisor.spend.pulling.paging import Page
from costadvisor.spend.services import import_remove, pulls, upload_confirm, upload_create
from costadvisor.spend.services.keys import provider_key_set
from tests.costadvisor.spend import provider_server as server_module
from tests.costadvisor.spend.provider_server import KEY, ProviderServer, provider_server, says, status

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
SINCE = date(2026, 8, 31)  # three months: 91 days, three pages of 31
MakeKey = Callable[..., ProviderKey]


@pytest.fixture
def server(settings: Any) -> Iterator[ProviderServer]:
    with provider_server() as running:
        settings.BILL_PULL_URLS = dict.fromkeys(Provider.values, running.url)
        settings.BILL_PULL_TRIES, settings.BILL_PULL_BACKOFF_S, settings.BILL_PULL_LONGEST_WAIT_S = 3, 0.0, 1.0
        yield running


@pytest.fixture
def make_key(acme: Organization, alice: User) -> MakeKey:
    def make(provider: str = "openai", value: str = KEY, since: date = SINCE) -> ProviderKey:
        return provider_key_set(
            organization=acme, actor=alice, provider=Provider(provider), secret=ProviderSecret(value), since=since,
            now=NOW,
        )  # fmt: skip

    return make


@pytest.fixture
def pull(make_key: MakeKey, server: ProviderServer) -> BillPull:
    return make_key().pulls.get(report="openai_usage")


def run(pull: BillPull, now: datetime = NOW) -> BillPull:
    return pulls.pull_run(pull=pull, now=now)


@pytest.mark.parametrize(
    ("provider", "report", "pages", "lines", "cost", "tokens"),
    [
        # 91 days less three 13ths, each with 0.12345678901234 and 0.50
        ("openai", "openai_costs", 1, 88 * 2, Decimal("54.86419743308592"), None),
        ("openai", "openai_usage", 3, 91 * 2, None, 91 * 2 * 200),
        ("anthropic", "anthropic_cost", 3, 91, Decimal("11.23456780012294"), None),
        ("anthropic", "anthropic_usage", 3, 91, None, 91 * 1500),
        ("openrouter", "openrouter_activity", 1, 29, Decimal("3.58024688135786"), 29 * 50),
    ],
)
def test_every_page_is_stored_to_the_last_digit_and_once(
    server: ProviderServer, acme: Organization, make_key: MakeKey,
    provider: str, report: str, pages: int, lines: int, cost: Decimal | None, tokens: int | None,
) -> None:  # fmt: skip
    pull = run(make_key(provider).pulls.get(report=report))
    assert (pull.state, len(server.asked)) == (PullState.STORED, pages), pull.message
    stored = list(SpendLine.current.filter(organization=acme))
    assert len(stored) == lines
    exact = [line.cost + Decimal(line.cost_rest or 0) for line in stored if line.cost is not None]
    assert (sum(exact) if exact else None) == cost
    assert (sum(line.input_uncached or 0 for line in stored) or None) == tokens
    assert not PendingUpload.objects.exclude(state="stored").exists()
    again = run(pull, NOW + timedelta(days=1))
    assert again.state in (PullState.UNCHANGED, PullState.STORED)
    assert again.done_until == date(2026, 12, 1)
    assert SpendLine.current.filter(period_start__lt=datetime(2026, 11, 30, tzinfo=UTC)).count() == lines


def test_only_the_last_days_are_asked_again_and_what_was_corrected_is_revised(
    server: ProviderServer, make_key: MakeKey
) -> None:
    pull = run(make_key("anthropic").pulls.get(report="anthropic_cost"))
    server.asked.clear()
    server.cents = Decimal("20")
    run(pull, NOW + timedelta(days=1))
    assert [query["starting_at"] for _, query in server.asked] == [["2026-11-23T00:00:00Z"]]
    latest = BillImport.objects.order_by("-id")[0]
    assert (latest.rows_added, latest.rows_revised, latest.origin) == (1, 7, "fetched from Anthropic")
    assert [line.cost for line in SpendLine.current.all()].count(Decimal("0.2")) == 8
    import_remove(bill_import=latest, actor=None)
    assert SpendLine.current.count() == 91


def test_a_run_that_broke_goes_on_at_its_page(server: ProviderServer, pull: BillPull) -> None:
    server.mishaps = [None, None, *[status(500)] * 3]
    assert run(pull).state == PullState.FAILED
    assert pull.message == "It has an error of its own (500)."
    assert (pull.pages, SpendLine.objects.count()) == (2, 0)
    server.asked.clear()
    assert run(pull, NOW + timedelta(hours=1)).state == PullState.STORED
    assert [query["page"] for _, query in server.asked] == [["page_2026-11-01"]]
    assert SpendLine.current.count() == 182


def test_a_killed_run_is_taken_over_later_and_half_a_page_is_written_over(
    server: ProviderServer, pull: BillPull, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = pulls._keep

    def killed(pull: BillPull, page: Any) -> None:
        if pull.pages == 1:
            with (settings.BILL_UPLOADS_DIR / pull.folder / "file").open("ab") as file:
                file.write(b'{"data": [{"half')
            raise KeyboardInterrupt
        keep(pull, page)

    monkeypatch.setattr(pulls, "_keep", killed)
    with pytest.raises(KeyboardInterrupt):
        run(pull)
    monkeypatch.undo()
    assert run(pull).state == PullState.RUNNING  # somebody is at it, as far as one can tell
    server.asked.clear()
    BillPull.objects.update(heard_of_at=NOW - timedelta(hours=1))
    assert run(pull).state == PullState.STORED
    assert len(server.asked) == 2
    assert SpendLine.current.count() == 182


def test_a_cursor_that_is_too_old_begins_the_report_anew(server: ProviderServer, pull: BillPull) -> None:
    server.mishaps = [None, *[status(503)] * 3]
    assert run(pull).state == PullState.FAILED
    server.mishaps = [status(400)]
    assert run(pull).state == PullState.STORED
    assert SpendLine.current.count() == 182


def test_a_short_wait_is_waited_and_a_long_one_is_kept_to(server: ProviderServer, pull: BillPull) -> None:
    server.mishaps = [status(429, Retry_After="0"), None, status(429, Retry_After="7200")]
    assert run(pull).state == PullState.WAITING
    assert pull.next_at == NOW + timedelta(hours=2)
    server.asked.clear()
    assert run(pull, NOW + timedelta(hours=1)).state == PullState.WAITING
    assert not server.asked
    assert pull not in pulls.pulls_due(now=NOW + timedelta(hours=1))
    assert pull in pulls.pulls_due(now=NOW + timedelta(hours=2))
    assert run(pull, NOW + timedelta(hours=2)).state == PullState.STORED
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("3", 3),
        ("-1", 0),
        ("", 60),
        ("soon", 60),
        ("nan", 60),
        ("1e9", 86_400),
        ("Tue, 01 Jan 2030 00:00:00 GMT", 86_400),
    ],
)
def test_what_retry_after_may_say(said: str, wait_s: float) -> None:
    assert http._wait_s(said) == wait_s


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_is_not_tried_again_until_another_is_set(
    server: ProviderServer, pull: BillPull, make_key: MakeKey, code: int
) -> None:
    server.mishaps = [status(code)]
    assert run(pull).state == PullState.REFUSED
    assert pull.message == (
        f"It answered {code}. It takes an admin key of the organization (sk-admin-…) that may read usage."
        " Set another one."
    )
    assert pull not in pulls.pulls_due(now=NOW + timedelta(days=30))
    pull = make_key().pulls.get(report="openai_usage")
    assert run(pull).state == PullState.STORED


@pytest.mark.parametrize(
    ("mishap", "message"),
    [
        (says(b"<html>busy</html>"), "Its answer is no JSON."),
        (says(b'"text"'), "Its answer has no list “data”."),
        (says(b'{"data": {}}'), "Its answer has no list “data”."),
        (says(b"[" * 100_000), "Its answer is no JSON."),
        (says(b'{"data": [], "has_more": true}'), "Its answer says that there is more, and not where."),
        (says(b'{"data": [], "has_more": true, "next_page": "page_x"}'), "Its pages lead nowhere"),
        (says(b" " * 2_000_001), "It answered with more than 1 MiB (BILL_MAX_JSON_BYTES)."),
        (says(b'{"data": [{"start_time": 1, "end_time": 2, "results": [{"x": 1}]}]}'), "parts of its answer cannot be"),
        (says(b'{"data": ["x", null, 7]}'), "parts of its answer cannot be read, and nothing was stored. The first:"),
        (status(302, Location="http://127.0.0.1:9/"), "It answered 302, which was not expected."),
        (status(418), "It answered 418, which was not expected."),
        (status(404), "It refused the request (404)."),
        (server_module.hangs, "It could not be reached (it took too long to answer)."),
        (server_module.breaks_off, "Its answer broke off."),
        (server_module.hangs_up, "It could not be reached (RemoteDisconnected)."),
    ],
    ids=(
        "no json",
        "text",
        "data an object",
        "nested",
        "no cursor",
        "a loop",
        "too large",
        "other results",
        "no buckets",
        "a redirect",
        "unexpected",
        "not found",
        "hangs",
        "breaks off",
        "hangs up",
    ),
)
def test_whatever_goes_wrong_is_said_and_nothing_is_stored(
    server: ProviderServer, pull: BillPull, settings: Any, mishap: Any, message: str
) -> None:
    settings.BILL_PULL_SILENT_S, settings.BILL_MAX_JSON_BYTES = 0.2, 2 * 10**6
    server.mishaps = [mishap] * 4
    assert run(pull).state == PullState.FAILED
    assert message in pull.message
    assert KEY not in pull.message
    assert not BillImport.objects.exists()
    assert not PendingUpload.objects.exists()
    server.mishaps = []
    assert run(pull, NOW + timedelta(hours=4)).state == PullState.STORED


def test_a_server_that_is_not_there_is_said(make_key: MakeKey, settings: Any) -> None:
    settings.BILL_PULL_URLS = {"openai": "http://127.0.0.1:9"}
    settings.BILL_PULL_TRIES = 1
    pull = run(make_key().pulls.get(report="openai_costs"))
    assert (pull.state, pull.message) == (PullState.FAILED, "It could not be reached (ConnectionRefusedError).")


def test_what_would_count_twice_waits_for_a_person(
    server: ProviderServer, acme: Organization, alice: User, make_key: MakeKey
) -> None:
    content = b"month,provider,cost,currency\n2026-10,openai,4,USD\n"
    upload = upload_create(organization=acme, actor=alice, file_name="b", content=content)
    upload_confirm(upload=upload, actor=alice)
    pull = run(make_key().pulls.get(report="openai_costs"))
    assert pull.state == PullState.HELD
    assert pull.message.startswith("The cost of openai for Oct 2026 came in already by")
    assert SpendLine.objects.count() == 1
    assert pull.upload is not None
    upload_confirm(upload=pull.upload, actor=alice)
    assert SpendLine.objects.count() == 1 + 88 * 2


def test_a_key_whose_secret_changed_says_so(server: ProviderServer, pull: BillPull, settings: Any) -> None:
    settings.PROVIDER_KEYS_SECRET = "another one of the installation's secrets, which is long enough"
    assert run(pull).state == PullState.FAILED
    assert "PROVIDER_KEYS_SECRET (or SECRET_KEY) has changed" in pull.message
    assert not server.asked


def test_a_key_that_is_deleted_meanwhile_stores_nothing(
    server: ProviderServer, pull: BillPull, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deleted(*_: Any) -> Page:
        ProviderKey.objects.all().delete()
        return Page(b'{"data": []}', "")

    monkeypatch.setattr(pulls, "page_get", deleted)
    run(pull)
    run(pull)
    assert not BillImport.objects.exists()


def test_the_command_tells_how_each_went_and_fails_where_one_did(server: ProviderServer, make_key: MakeKey) -> None:
    make_key("openrouter")
    make_key("anthropic", "sk-ant-admin-WRONGWRONGWRONG-0000")
    out = StringIO()
    with pytest.raises(CommandError, match="2 failed"):
        call_command("pull_bills", stdout=out)
    told = out.getvalue()
    assert "acme openrouter_activity: Stored. 29 rows new, 0 revised." in told
    assert "acme anthropic_cost: The key was refused. It answered 401." in told
    out = StringIO()
    call_command("pull_bills", "--due", stdout=out)
    assert out.getvalue() == ""


def test_the_schedule_fetches_what_is_due(server: ProviderServer, make_key: MakeKey) -> None:
    make_key("openrouter")
    tasks.bills_pull()
    tasks.bills_pull(newer="argument")
    assert len(server.asked) == 1
    assert BillPull.objects.get().state == PullState.STORED
