"""Sums over imports: the parts add up, and importing in whatever order or twice changes nothing."""

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costadvisor.accounts.models import Organization, User
from costadvisor.common.refusal import Refusal
from costadvisor.spend.models import BillImport
from costadvisor.spend.overview import spend_grid
from costadvisor.spend.selectors import usage_months
from costadvisor.spend.services import import_commit, upload_create

Line = tuple[int, str, Decimal]
LINES = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from(["a", "b"]), st.decimals(-100, 10**6, places=9)),
    min_size=1,
    max_size=8,
    unique_by=lambda line: line[:2],
)


def store(organization: Organization, actor: User, lines: list[Line]) -> None:
    rows = "".join(f"2025-{month:02d},p,{model},{cost:f},USD\n" for month, model, cost in lines)
    content = f"month,provider,model,cost,currency\n{rows}".encode()
    upload = upload_create(organization=organization, actor=actor, file_name="bill.csv", content=content)
    with suppress(Refusal):  # nothing in it is new
        import_commit(upload=upload, actor=actor)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, cut=st.integers(0, 8))
def test_overlapping_imports_add_up_to_the_file(lines: list[Line], cut: int, acme: Organization, alice: User) -> None:
    BillImport.objects.all().delete()
    store(acme, alice, lines[:cut] or lines)
    store(acme, alice, lines)
    store(acme, alice, lines[::-1])
    months = usage_months(organization=acme)
    assert sum((month.cost or Decimal(0)) for month in months) == sum(cost for _, _, cost in lines)


def test_two_currencies_are_never_added(acme: Organization, alice: User) -> None:
    content = b"month,provider,cost,currency\n2026-10,a,10,USD\n2026-10,b,20,EUR\n"
    import_commit(upload=upload_create(organization=acme, actor=alice, file_name="b", content=content), actor=alice)
    grid = spend_grid(usage_months(organization=acme))
    assert grid is not None
    assert grid.totals[0].amounts == (("EUR", Decimal(20)), ("USD", Decimal(10)))
    assert grid.currency == ""
    assert grid.largest_total == 0


def test_the_grid_shows_the_last_six_months_with_gaps_as_gaps(acme: Organization, alice: User) -> None:
    content = b"month,provider,cost,currency\n2025-01,a,1,USD\n2025-12,a,10,USD\n2026-02,a,20,USD\n"
    import_commit(upload=upload_create(organization=acme, actor=alice, file_name="b", content=content), actor=alice)
    grid = spend_grid(usage_months(organization=acme))
    assert grid is not None
    assert [f"{month:%Y-%m}" for month in grid.months] == [
        "2025-09",
        "2025-10",
        "2025-11",
        "2025-12",
        "2026-01",
        "2026-02",
    ]
    assert [len(cell.amounts) for cell in grid.totals] == [0, 0, 0, 1, 0, 1]


def test_one_line_without_requests_makes_the_count_unknown(acme: Organization, alice: User) -> None:
    content = b"month,provider,requests,output_tokens\n2026-10,a,5,100\n2026-10,a,,100\n"
    import_commit(upload=upload_create(organization=acme, actor=alice, file_name="b", content=content), actor=alice)
    (month,) = usage_months(organization=acme)
    assert (month.requests, month.output) == (None, 200)


def test_organizations_do_not_see_each_other(acme: Organization, alice: User, charlie: User) -> None:
    rival = charlie.memberships.get().organization
    store(acme, alice, [(10, "a", Decimal(1))])
    store(rival, charlie, [(10, "a", Decimal(2))])
    assert [month.cost for month in usage_months(organization=acme)] == [Decimal(1)]


@pytest.mark.parametrize("count", [1201])
def test_a_long_file_is_revised_whole(count: int, acme: Organization, alice: User) -> None:
    """More rows than one query may name at once."""
    for cost in ("1", "2"):
        rows = "".join(f"2026-10,p,model-{number},{cost},USD\n" for number in range(count))
        content = f"month,provider,model,cost,currency\n{rows}".encode()
        upload = upload_create(organization=acme, actor=alice, file_name="bill.csv", content=content)
        stored = import_commit(upload=upload, actor=alice)
    assert stored.rows_revised == count
    assert sum((month.cost or Decimal(0)) for month in usage_months(organization=acme)) == 2 * count
