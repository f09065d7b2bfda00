"""A CSV of unknown columns: guessed, corrected by a person, remembered for the organization."""

import io
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from costadvisor.accounts.models import Organization, User
from costadvisor.spend import staging
from costadvisor.spend.formats.guessing import guess
from costadvisor.spend.formats.mapped_csv import unknown_table
from costadvisor.spend.models import ColumnMapping, PendingUpload, SpendLine
from costadvisor.spend.services.uploads import limits

LogIn = Callable[[User], Client]
UNKNOWN = """Tag;Modell;Eingabe;davon Cache;Ausgabe;Betrag;Wer
31.10.2026;gpt-4o-mini;1000;400;200;12.5;ann.secret@example.com
30.10.2026;gpt-4o-mini;500;0;100;−2.5;bob.secret@example.com
"""
CHOSEN = {
    "time": "tag", "model": "modell", "input_tokens": "eingabe", "cached_input_tokens": "davon_cache",
    "output_tokens": "ausgabe", "cost": "betrag", "time_written": "european", "period": "day",
    "provider_name": "OpenAI", "currency_code": "EUR", "cached_inside": "on", "token_unit": "1000", "cost_unit": "1",
}  # fmt: skip


@pytest.fixture
def client(acme: Organization, alice: User, log_in: LogIn) -> Client:
    return log_in(alice)


def upload(client: Client, text: str) -> str:
    answer = client.post("/o/acme/spend/upload/", {"file": SimpleUploadedFile("x.txt", text.encode())}, follow=True)
    return answer.redirect_chain[-1][0]


def test_the_person_says_what_the_columns_are_and_is_asked_once(client: Client) -> None:
    page = upload(client, UNKNOWN)
    assert page.endswith("/columns/")
    shown = client.get(page).content.decode()
    assert "davon Cache" in shown
    assert "31.10.2026" in shown
    preview = client.post(page, CHOSEN, follow=True).content.decode()
    assert "CSV, by the columns you named" in preview
    assert "€10.00" in preview
    assert not SpendLine.objects.exists()
    client.post(page.replace("columns/", "confirm/"))
    lines = SpendLine.objects.order_by("period_start")
    assert [(line.provider, line.input_uncached, line.cache_read, line.output) for line in lines] == [
        ("openai", 500_000, 0, 100_000),
        ("openai", 600_000, 400_000, 200_000),
    ]
    assert [line.cost for line in lines] == [Decimal("-2.5"), Decimal("12.5")]
    again = upload(client, UNKNOWN.replace("31.10", "29.10"))
    assert not again.endswith("/columns/")
    page = client.get(again).content.decode()
    assert "Change which column is what" in page
    assert client.get(again + "columns/").status_code == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"provider_name": ""}, "Write who provides the API"),
        ({"cost": "tag"}, "This column is chosen twice"),
        (
            {"cost": "", "input_tokens": "", "output_tokens": "", "cached_input_tokens": ""},
            "Name a column of cost or of",
        ),
        ({"model": "not a column"}, "Select a valid choice"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_by_field(client: Client, change: dict[str, str], message: str) -> None:
    page = client.post(upload(client, UNKNOWN), CHOSEN | change)
    assert message in page.content.decode()
    assert not ColumnMapping.objects.exists()


def test_times_written_otherwise_are_problems_of_their_lines(client: Client) -> None:
    page = client.post(upload(client, UNKNOWN), CHOSEN | {"time_written": "iso"}, follow=True).content.decode()
    assert "“31.10.2026” is not a time" in page
    assert "line 3" in page


def test_names_and_first_rows_are_guessed() -> None:
    text = b"usage_date,model_name,prompt_tokens,completion_tokens,total_cost,currency\n10/31/2026,m,1,2,3,USD\n"
    table = unknown_table(io.BytesIO(text), limits())
    assert table is not None
    found = guess(table)
    assert found.columns == {
        "time": "usage_date", "model": "model_name", "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens", "cost": "total_cost", "currency": "currency",
    }  # fmt: skip
    assert (found.time, found.period) == ("us", "day")


def test_a_row_a_request_merges_by_its_id(client: Client) -> None:
    rows = [f"2026-10-01 10:{minute:02d}:00,r{minute},m,10,1,0.5" for minute in range(10)]
    header = "when,rid,what,in,out,eur"
    said = {
        "time": "when", "model": "what", "input_tokens": "in", "output_tokens": "out", "cost": "eur",
        "request_id": "rid", "time_written": "iso", "period": "hour", "provider_name": "p", "currency_code": "EUR",
        "token_unit": "1", "cost_unit": "1",
    }  # fmt: skip
    page = upload(client, "\n".join([header, *rows[:6]]))
    client.post(page, said)
    client.post(page.replace("columns/", "confirm/"))
    client.post(upload(client, "\n".join([header, *rows[3:]])) + "confirm/")
    (line,) = SpendLine.current.all()
    assert (line.requests, line.output, line.cost) == (10, 10, Decimal(5))


def test_a_known_kind_without_its_columns_may_be_read_by_what_a_person_says(client: Client) -> None:
    text = (
        "generation_id,created_at,cost_total,tokens_prompt,tokens_completion,which\ng1,2026-10-01 10:00:00,0.5,10,1,m\n"
    )
    answer = client.post("/o/acme/spend/upload/", {"file": SimpleUploadedFile("x.csv", text.encode())})
    page = answer["Location"]
    shown = client.get(page).content.decode()
    assert "model_permaslug" in shown
    assert "Say which column is what" in shown
    said = {
        "time": "created_at", "model": "which", "input_tokens": "tokens_prompt", "output_tokens": "tokens_completion",
        "cost": "cost_total", "request_id": "generation_id", "time_written": "iso", "period": "hour",
        "provider_name": "openrouter", "currency_code": "USD", "token_unit": "1", "cost_unit": "1",
    }  # fmt: skip
    preview = client.post(page + "columns/", said, follow=True).content.decode()
    assert "CSV, by the columns you named" in preview
    assert "$0.50" in preview
    client.post(page + "confirm/")
    assert SpendLine.objects.get().model == "m"


def test_a_known_kind_that_is_read_offers_no_columns_and_keeps_no_file(client: Client) -> None:
    text = "month,provider,model,cost,currency\n2026-10,openai,m,4.5,USD\n2026-11,openai,m,x,USD\n"
    page = client.post("/o/acme/spend/upload/", {"file": SimpleUploadedFile("x.csv", text.encode())})["Location"]
    assert "Say which column is what" not in client.get(page).content.decode()
    assert not staging.file_of(PendingUpload.objects.get()).exists()


def test_a_spreadsheet_as_people_in_europe_write_it_is_understood_at_once(client: Client) -> None:
    """Its words, its dates, its decimal comma and its currency; nothing has to be corrected."""
    text = (
        "Datum;Anbieter;Modell;Anfragen;Eingabe-Token;Ausgabe-Token;Betrag (EUR)\n"
        "01.10.2026;openai;gpt-4.1-mini;12.500;14.400.000;2.640.000;9,98\n"
        "02.10.2026;openai;gpt-4.1-mini;900;1.039.500;190.080;−1.234,5\n"
    )
    page = upload(client, text)
    form = client.get(page).context["form"]
    said = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    assert said["numbers"] == "comma"
    assert said["currency_code"] == "EUR"
    preview = client.post(page, said, follow=True).content.decode()
    assert "−€1,224.52" in preview
    client.post(page.replace("columns/", "confirm/"))
    lines = SpendLine.objects.order_by("period_start")
    assert [(line.provider, line.requests, line.input_uncached, line.output, line.cost) for line in lines] == [
        ("openai", 12_500, 14_400_000, 2_640_000, Decimal("9.98")),
        ("openai", 900, 1_039_500, 190_080, Decimal("-1234.5")),
    ]


@pytest.mark.parametrize(
    ("numbers", "wrong"),
    [("comma", "1.23,4"), ("comma", "1,2,3"), ("comma", "1.234.56"), ("point", "1.234,5"), ("point", "12,34")],
)
def test_a_number_written_otherwise_is_refused_at_its_line(client: Client, numbers: str, wrong: str) -> None:
    page = upload(client, f"Tag;Betrag\n01.10.2026;{wrong}\n")
    said = {"time": "tag", "cost": "betrag", "time_written": "european", "period": "day", "provider_name": "p",
            "currency_code": "EUR", "token_unit": "1", "cost_unit": "1", "numbers": numbers}  # fmt: skip
    preview = client.post(page, said, follow=True).content.decode()
    assert "is not a number written as" in preview
    assert not SpendLine.objects.exists()
