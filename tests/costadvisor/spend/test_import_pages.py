"""From a file to the spend page, as a person goes."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings
from django.utils import timezone

from costadvisor.accounts.models import Organization, User
from costadvisor.audit.models import Event
from costadvisor.spend.models import BillImport, PendingUpload, SpendLine
from costadvisor.spend.services import imports

HEADER = "month,provider,model,requests,input_tokens,cached_input_tokens,output_tokens,cost,currency"
OCTOBER = "2026-10,openai,gpt-4o-mini,1000,5000000,2000000,700000,1234.50,USD"
NOVEMBER = "2026-11,openai,gpt-4o-mini,1100,5500000,2200000,770000,1357.95,USD"
LogIn = Callable[[User], Client]


def upload(client: Client, *lines: str, content: bytes | None = None) -> str:
    """Uploads a file and gives the address of its preview."""
    data = content if content is not None else "\n".join((HEADER, *lines)).encode()
    answer = client.post("/o/acme/spend/upload/", {"file": SimpleUploadedFile("bill.csv", data)})
    assert answer.status_code == 302, answer.content.decode()
    return answer["Location"]


def import_file(client: Client, *lines: str) -> str:
    """Uploads and confirms; the text of the page one lands on."""
    return client.post(upload(client, *lines) + "confirm/", follow=True).content.decode()


@pytest.fixture
def client(acme: Organization, alice: User, log_in: LogIn) -> Client:
    return log_in(alice)


def test_nothing_is_stored_before_confirmation_and_the_file_is_gone_after(client: Client) -> None:
    preview = upload(client, OCTOBER)
    page = client.get(preview).content.decode()
    assert "costadvisor template (CSV)" in page
    assert "$1,234.50" in page
    assert "5,000,000" in page
    assert not SpendLine.objects.exists()
    page = client.post(preview + "confirm/", follow=True).content.decode()
    assert "1 rows new" in page
    assert "1,234.50" in page
    assert SpendLine.objects.count() == 1
    assert [(upload.state, upload.summary) for upload in PendingUpload.objects.all()] == [("stored", {})]
    assert Event.objects.filter(action="bill_import_create", actor_email="alice@example.com").count() == 1


def test_confirming_twice_imports_once_and_says_the_same(client: Client) -> None:
    preview = upload(client, OCTOBER)
    for _ in range(2):
        assert "1 rows new" in client.post(preview + "confirm/", follow=True).content.decode()
    assert "1 rows new" in client.get(preview, follow=True).content.decode()
    assert "It is stored already" in client.post(preview + "discard/", follow=True).content.decode()
    assert (BillImport.objects.count(), SpendLine.objects.count()) == (1, 1)


def test_a_discarded_file_leaves_nothing(client: Client) -> None:
    client.post(upload(client, OCTOBER) + "discard/")
    assert not PendingUpload.objects.exists()
    assert not BillImport.objects.exists()


def test_bad_lines_are_listed_and_left_out_only_on_ones_word(client: Client) -> None:
    preview = upload(client, OCTOBER, "2026-11,openai,m,x,1,0,1,1,USD")
    page = client.get(preview).content.decode()
    assert "line 3" in page
    assert "“x” is not a whole number" in page
    refused = client.post(preview + "confirm/", follow=True).content.decode()
    assert "1 lines cannot be read" in refused
    assert not SpendLine.objects.exists()
    client.post(preview + "confirm/", {"leave_out": "on"})
    assert SpendLine.objects.count() == 1
    assert BillImport.objects.get().lines_left_out == 1


def test_the_same_file_adds_nothing_twice(client: Client) -> None:
    import_file(client, OCTOBER)
    preview = upload(client, OCTOBER)
    page = client.get(preview).content.decode()
    assert "This very file was imported on" in page
    assert "Nothing in this file would be added" in page
    refused = client.post(preview + "confirm/", follow=True).content.decode()
    assert "stored already; nothing was added" in refused
    assert (SpendLine.objects.count(), BillImport.objects.count()) == (1, 1)


def test_an_overlapping_file_adds_only_what_is_new(client: Client) -> None:
    import_file(client, OCTOBER)
    page = import_file(client, OCTOBER, NOVEMBER)
    assert "1 rows new, 0 revised, 1 stored already" in page
    assert SpendLine.objects.count() == 2


def test_a_revised_month_replaces_the_earlier_one_until_its_import_is_removed(client: Client) -> None:
    import_file(client, OCTOBER)
    revised = OCTOBER.replace("1234.50", "1000.00")
    assert "1 row differs from what is stored" in client.get(upload(client, revised)).content.decode()
    page = import_file(client, revised)
    assert "1,000.00" in page
    assert "1,234.50" not in page
    first, second = BillImport.objects.order_by("id")
    refused = client.post(f"/o/acme/spend/imports/{first.pk}/remove/", follow=True).content.decode()
    assert "Remove that one first" in refused
    page = client.post(f"/o/acme/spend/imports/{second.pk}/remove/", follow=True).content.decode()
    assert "1,234.50" in page
    assert SpendLine.current.get().bill_import == first


def test_lines_of_one_month_and_model_are_kept_apart_and_added_up(client: Client) -> None:
    credit = "2026-10,openai,gpt-4o-mini,,,,,-34.50,USD"
    page = import_file(client, OCTOBER, credit)
    assert "1,200.00" in page
    # The same lines in another order are the same file.
    assert "nothing was added" in import_file(client, credit, OCTOBER)


def test_usage_without_a_bill_is_not_billed_yet_and_never_zero(client: Client) -> None:
    result = {
        "input_tokens": 10,
        "input_cached_tokens": 4,
        "output_tokens": 3,
        "num_model_requests": 1,
        "model": "gpt-5",
    }
    bucket = {"object": "bucket", "start_time": 1790812800, "end_time": 1790899200, "results": [result]}
    content = json.dumps({"object": "page", "data": [bucket], "has_more": False}).encode()
    preview = upload(client, content=content)
    assert "not billed yet" in client.get(preview).content.decode()
    client.post(preview + "confirm/")
    assert SpendLine.objects.get().cost is None
    page = client.get("/o/acme/spend/").content.decode()
    assert "not billed yet" in page
    assert "0.00" not in page


def test_the_same_use_from_two_sources_is_noticed(client: Client) -> None:
    import_file(client, OCTOBER)
    result = {
        "input_tokens": 10,
        "input_cached_tokens": 4,
        "output_tokens": 3,
        "num_model_requests": 1,
        "model": "gpt-5",
    }
    bucket = {"object": "bucket", "start_time": 1790812800, "end_time": 1790899200, "results": [result]}
    page = client.get(upload(client, content=json.dumps({"data": [bucket]}).encode())).content.decode()
    assert "The tokens of openai for Oct 2026 came in already" in page


DAY, HOUR = 86_400, 3_600
FIRST_OF_OCTOBER = 1_790_812_800


def usage(start: int, length: int, **more: str) -> bytes:
    """A page of the Usage API with one bucket."""
    result = {"input_tokens": 10, "output_tokens": 3, "num_model_requests": 1, "model": "gpt-5", **more}
    return json.dumps({"data": [{"start_time": start, "end_time": start + length, "results": [result]}]}).encode()


@pytest.mark.parametrize(
    ("second", "noticed"),
    [
        (usage(FIRST_OF_OCTOBER + 5 * HOUR, HOUR), True),
        (usage(FIRST_OF_OCTOBER, DAY, project_id="p"), True),
        (usage(FIRST_OF_OCTOBER + DAY, HOUR), False),
        (usage(FIRST_OF_OCTOBER + DAY, DAY), False),
        (usage(FIRST_OF_OCTOBER, DAY, model="gpt-4o"), False),
        (usage(FIRST_OF_OCTOBER, DAY), False),
    ],
    ids=["by the hour", "by project", "the next day by the hour", "the next day", "another model", "the same"],
)
def test_the_same_use_from_one_source_cut_otherwise_is_noticed(client: Client, second: bytes, noticed: bool) -> None:
    client.post(upload(client, content=usage(FIRST_OF_OCTOBER, DAY)) + "confirm/")
    page = client.get(upload(client, content=second)).content.decode()
    notice = "came in already by “OpenAI Usage API (JSON)” in other periods or another split. Both would be counted"
    assert (notice in page) == noticed


def test_a_typed_month_counts_until_a_bill_says_it(client: Client) -> None:
    typed = {"month": "2026-10", "provider": "OpenAI", "amount": "999.00", "currency": "USD"}
    assert "999.00" in client.post("/o/acme/spend/typed/", typed, follow=True).content.decode()
    assert "1,111.00" in client.post("/o/acme/spend/typed/", typed | {"amount": "1111"}, follow=True).content.decode()
    assert SpendLine.current.count() == 1
    page = import_file(client, OCTOBER)
    assert "1,234.50" in page
    assert "1,111.00" not in page


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("month", "October", "Write year and month"),
        ("amount", "-1", "greater than or equal to 0"),
        ("amount", "1e400", "Ensure that there are no more than"),
        ("currency", "XXX", "Select a valid choice"),
        ("provider", "", "This field is required"),
    ],
)
def test_a_bad_typed_month_is_refused_by_field(client: Client, field: str, value: str, message: str) -> None:
    typed = {"month": "2026-10", "provider": "openai", "amount": "999.00", "currency": "USD", field: value}
    page = client.post("/o/acme/spend/typed/", typed).content.decode()
    assert f'href="#id_{field}"' in page
    assert message in page
    assert not BillImport.objects.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b" \n", "The file is empty"), (b"\x89PNG....", "no file we can read"), (b"", "The submitted file is empty")],
)
def test_a_file_we_cannot_use_is_refused_at_once(client: Client, content: bytes, message: str) -> None:
    answer = client.post("/o/acme/spend/upload/", {"file": SimpleUploadedFile("bill.csv", content)})
    assert message in answer.content.decode()
    assert not PendingUpload.objects.exists()


def test_a_file_has_a_largest_number_of_rows(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "BILL_MAX_ROWS", 1)
    content = "\n".join((HEADER, OCTOBER, NOVEMBER)).encode()
    answer = client.post("/o/acme/spend/upload/", {"file": SimpleUploadedFile("bill.csv", content)})
    assert "has more than 1 rows (BILL_MAX_ROWS)" in answer.content.decode()
    assert not PendingUpload.objects.exists()


@override_settings(BILL_MAX_BYTES=100)
def test_a_file_has_a_largest_size(client: Client) -> None:
    content = "\n".join((HEADER, OCTOBER, NOVEMBER)).encode()
    answer = client.post("/o/acme/spend/upload/", {"file": SimpleUploadedFile("bill.csv", content)})
    assert "larger than 0 MiB (BILL_MAX_BYTES)" in answer.content.decode()
    assert not PendingUpload.objects.exists()


def test_what_a_file_says_is_shown_as_text(client: Client) -> None:
    page = import_file(client, OCTOBER.replace("gpt-4o-mini", "<script>alert(1)</script>"))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_viewer_reads_and_an_editor_writes(client: Client, bob: User, charlie: User, log_in: LogIn) -> None:
    import_file(client, OCTOBER)
    bob_sees = log_in(bob).get("/o/acme/spend/")
    assert bob_sees.status_code == 200
    assert "1,234.50" in bob_sees.content.decode()
    assert "Remove" not in bob_sees.content.decode()
    import_id = BillImport.objects.get().pk
    assert log_in(bob).post(f"/o/acme/spend/imports/{import_id}/remove/").status_code == 403
    assert log_in(charlie).post(f"/o/acme/spend/imports/{import_id}/remove/").status_code == 404
    assert log_in(charlie).post(f"/o/rival/spend/imports/{import_id}/remove/").status_code == 404
    assert BillImport.objects.exists()
    assert client.post(f"/o/acme/spend/imports/{import_id}/remove/").status_code == 302
    assert not BillImport.objects.exists()


def test_a_forgotten_upload_is_deleted_a_day_later(client: Client) -> None:
    upload(client, OCTOBER)
    PendingUpload.objects.update(created_at=timezone.now() - timedelta(hours=25))
    upload(client, NOVEMBER)
    assert PendingUpload.objects.count() == 1


def test_nothing_is_stored_when_storing_fails_half_way(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("disk full")

    preview = upload(client, OCTOBER)
    monkeypatch.setattr(imports, "event_record", broken)
    with pytest.raises(RuntimeError, match="disk full"):
        client.post(preview + "confirm/")
    assert not BillImport.objects.exists()
    assert not SpendLine.objects.exists()
    assert PendingUpload.objects.exists()
