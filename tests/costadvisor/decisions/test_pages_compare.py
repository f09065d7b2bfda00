"""The page that compares two answers to a decision."""

import re

from django.test import Client

from costadvisor.accounts.models import Role
from costadvisor.decisions.models import Decision
from tests.costadvisor.decisions.conftest import LogIn, Member, page_of


def amounts(row: str) -> list[int]:
    """Cents of the row's figures."""
    figures = re.findall(r'<td class="number">([+−]?[\d,]+\.\d\d)</td>', row)
    return [int(figure.replace("−", "-").replace("+", "").replace(",", "").replace(".", "")) for figure in figures]


def test_the_columns_of_a_change_add_up(client: Client, decision: Decision, home: str) -> None:
    client.post(f"{home}issue/")
    client.post(f"{home}save/?requests_per_month=20000000&fte=1.5&horizon_months=24")
    page = page_of(client, f"{home}compare/")
    assert "From version 1" in page
    rows = [amounts(row) for row in page.split("<tbody>")[1].split("</tfoot>")[0].split("<tr>")[1:]]
    first, *moves, last = rows
    assert len(moves) >= 3
    for column in range(3):
        assert first[column] + sum(move[column] for move in moves) == last[column]
    assert "requests a month" in page.lower()


def test_the_same_answer_twice_has_nothing_to_tell(client: Client, decision: Decision, home: str) -> None:
    assert "Nothing that the answer rests on has changed." in page_of(client, f"{home}compare/")


def test_a_version_that_is_not_there_is_refused_in_words(client: Client, decision: Decision, home: str) -> None:
    page = page_of(client, f"{home}compare/", before="7")
    assert "7 is not one of the available choices" in page
    assert "What each" not in page


def test_viewers_may_compare_and_outsiders_see_nothing(member: Member, log_in: LogIn, home: str) -> None:
    assert log_in(member("vera", Role.VIEWER)).get(f"{home}compare/").status_code == 200
    assert Client().get(f"{home}compare/").status_code == 302


def test_pages_of_decisions_and_versions_lead_there(client: Client, decision: Decision, home: str) -> None:
    client.post(f"{home}issue/")
    assert f"{home}compare/" in page_of(client, home)
    assert f"{home}compare/?before=1" in page_of(client, f"{home}versions/1/")
