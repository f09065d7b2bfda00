"""Logs with a row a request: exports that overlap merge, and taking one back brings the earlier figures back."""

import contextlib
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costadvisor.accounts.models import Organization, User
from costadvisor.common.refusal import Refusal
from costadvisor.spend.formats.amounts import exact_sum
from costadvisor.spend.models import BillImport, RequestChunk, SpendLine
from costadvisor.spend.previews import upload_preview
from costadvisor.spend.selectors import usage_months
from costadvisor.spend.services import import_commit, import_remove, upload_create

HEADER = "request_id,request_created_at,request_model,provider,prompt_tokens,completion_tokens,costUSD\n"


def line(number: int, *, cost: str = "0.1") -> str:
    return f"r{number},2026-10-01T{number // 60:02d}:{number % 60:02d}:00Z,m,P,10,1,{cost}\n"


def store(organization: Organization, actor: User, lines: Sequence[str]) -> BillImport:
    content = (HEADER + "".join(lines)).encode()
    upload = upload_create(organization=organization, actor=actor, file_name="log.csv", content=content)
    return import_commit(upload=upload, actor=actor)


def total(organization: Organization) -> tuple[int | None, Decimal | None]:
    (month,) = usage_months(organization=organization)
    return month.requests, month.cost


def test_an_hour_that_two_exports_share_has_every_request_once(acme: Organization, alice: User) -> None:
    store(acme, alice, [line(number) for number in range(90)])
    content = (HEADER + "".join(line(number) for number in range(30, 200))).encode()
    upload = upload_create(organization=acme, actor=alice, file_name="log.csv", content=content)
    preview = upload_preview(upload=upload)
    assert (preview.rows_added, preview.rows_unchanged, preview.rows_revised) == (110, 60, 0)
    second = import_commit(upload=upload, actor=alice)
    assert (second.rows_added, second.rows_unchanged) == (110, 60)
    assert total(acme) == (200, Decimal(20))
    assert sum(chunk.requests for chunk in RequestChunk.objects.all()) == 200
    import_remove(bill_import=second, actor=alice)
    assert total(acme) == (90, Decimal(9))


def test_the_same_log_again_adds_nothing(acme: Organization, alice: User) -> None:
    store(acme, alice, [line(number) for number in range(10)])
    with pytest.raises(Refusal, match="stored already"):
        store(acme, alice, [line(number) for number in range(9, -1, -1)])
    assert BillImport.objects.count() == 1
    assert total(acme) == (10, Decimal(1))


def test_a_request_that_a_newer_export_tells_otherwise_is_revised(acme: Organization, alice: User) -> None:
    first = store(acme, alice, [line(number) for number in range(10)])
    second = store(acme, alice, [line(3, cost="0.6"), line(4)])
    assert (second.rows_added, second.rows_revised, second.rows_unchanged) == (0, 1, 1)
    assert total(acme) == (10, Decimal("1.5"))
    with pytest.raises(Refusal, match="Remove that one first"):
        import_remove(bill_import=first, actor=alice)
    import_remove(bill_import=second, actor=alice)
    assert total(acme) == (10, Decimal(1))
    import_remove(bill_import=first, actor=alice)
    assert not SpendLine.objects.exists()
    assert not RequestChunk.objects.exists()


def test_an_import_that_a_later_one_leans_on_stays(acme: Organization, alice: User) -> None:
    """Else what both files had would be gone with the first."""
    header = "month,provider,cost,currency\n"
    for content in (header + "2026-09,a,1,USD\n", header + "2026-09,a,1,USD\n2026-10,a,2,USD\n"):
        upload = upload_create(organization=acme, actor=alice, file_name="b", content=content.encode())
        import_commit(upload=upload, actor=alice)
    second, first = BillImport.objects.all()
    with pytest.raises(Refusal, match="left out what it has already"):
        import_remove(bill_import=first, actor=alice)
    import_remove(bill_import=second, actor=alice)
    import_remove(bill_import=first, actor=alice)
    assert not BillImport.objects.exists()


def test_money_is_stored_to_the_last_digit(acme: Organization, alice: User) -> None:
    costs = ["0.123456789012345678901234567891", "1e-20", "-0.000000000000000000000000000009", "3"]
    store(acme, alice, [line(number * 60, cost=cost) for number, cost in enumerate(costs)])
    assert total(acme)[1] == exact_sum(map(Decimal, costs))
    with pytest.raises(Refusal, match="stored already"):
        store(acme, alice, [line(number * 60, cost=cost) for number, cost in enumerate(costs)])


REQUESTS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=30)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exports=st.lists(REQUESTS, min_size=1, max_size=4))
def test_whatever_overlaps_the_newest_word_on_each_request_counts_once(
    exports: list[list[tuple[int, int]]], acme: Organization, alice: User
) -> None:
    for old in BillImport.objects.all():
        import_remove(bill_import=old, actor=alice)
    known: dict[int, int] = {}
    for export in exports:
        first: dict[int, int] = {}
        for number, cost in export:
            first.setdefault(number, cost)  # a file's own doubles count once
        known |= first
        with contextlib.suppress(Refusal):
            store(acme, alice, [line(number * 7, cost=str(cost)) for number, cost in export])
    assert total(acme) == (len(known), Decimal(sum(known.values())))
