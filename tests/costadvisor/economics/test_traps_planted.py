"""Each trap, planted in our own code: the test that guards against it must fail."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from costadvisor.economics import api_lines, breakeven, constraints, costs, evidence, fleet, flows, running, wording
from costadvisor.economics.figures import exact
from costadvisor.economics.staircase import Cheaper
from tests.costadvisor.economics import test_traps as traps

Plant = Callable[[Any], Any]
# The package gives the function of that name; the module behind it holds what is planted.
evaluate = importlib.import_module("costadvisor.economics.evaluate")


def _busy_share_of_the_bill(original: Any) -> Any:
    def planned_week(*args: Any, **kwargs: Any) -> Any:
        week = original(*args, **kwargs)
        return replace(week, replica_hours=week.replica_hours * exact(week.utilization))

    return planned_week


def _one_replica_however_much_there_is(original: Any) -> Any:
    def fleet_staircase(*args: Any) -> Any:
        stairs = original(*args)
        return replace(stairs, fixed_usd=stairs.least_usd, usd=stairs.usd * 1e-12)

    return fleet_staircase


def _one_break_even(original: Any) -> Any:
    def cheaper_stretches(stairs: Any, usd: float, lowest: float, highest: float) -> Cheaper:
        found = original(stairs, usd, lowest, highest)
        return Cheaper(((found.stretches[0][0], highest),), None) if found.stretches else found

    return cheaper_stretches


def _one_rate_for_all_tokens(original: Any) -> Any:
    def bands(*args: Any) -> Any:
        return [replace(band, output_usd_per_mtok=band.input_usd_per_mtok) for band in original(*args)]

    return bands


def _discount_on_the_whole_bill(original: Any) -> Any:
    def api_month(case: Any, option: Any, values: Any) -> Any:
        month = original(case, option, values)
        share = case.workload.batchable_share * option.prices.batch_discount
        return replace(month, batch_saving=month.batch_saving - month.requests * share)

    return api_month


def _hours_of_its_own(original: Any) -> Any:
    return lambda requests, case: float(requests) / (720 * 3600)


def _no_setup(original: Any) -> Any:
    def staff_flow(*args: Any) -> Any:
        flow = original(*args)
        flow.cash[:, 0] = 0
        return flow

    return staff_flow


def _without_hosts(original: Any) -> Any:
    def rank(case: Any, allowed: Any, totals: Any) -> Any:
        return original(case, tuple(o for o in allowed if not getattr(o, "open_weights", False)), totals)

    return rank


PLANTED: list[tuple[int, Any, str, Plant]] = [
    (1, running, "planned_week", _busy_share_of_the_bill),
    (2, breakeven, "fleet_staircase", _one_replica_however_much_there_is),
    (3, breakeven, "cheaper_stretches", _one_break_even),
    (4, evidence, "_graded", lambda _: lambda *_: {"grade": "A"}),
    (5, costs, "_bands", _one_rate_for_all_tokens),
    (6, api_lines, "api_month", _discount_on_the_whole_bill),
    (7, fleet, "requests_per_s", _hours_of_its_own),
    (8, fleet, "served_weights", lambda _: lambda case: np.ones(168)),
    (9, constraints, "quality_problem", lambda _: lambda *_: None),
    (10, flows, "staff_flow", _no_setup),
    (11, evaluate, "rank", _without_hosts),
    (12, wording, "spend_basis", lambda _: lambda *_: "billed"),
]


def guard_of(trap: int) -> Callable[[], None]:
    """The test of that trap; each has its own."""
    (name,) = (name for name in vars(traps) if name.startswith(f"test_{trap}_"))
    guard: Callable[[], None] = getattr(traps, name)
    return guard


@pytest.mark.parametrize(("trap", "module", "name", "plant"), PLANTED)
def test_a_planted_trap_is_found(
    trap: int, module: Any, name: str, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = guard_of(trap)
    guard()
    monkeypatch.setattr(module, name, plant(getattr(module, name)))
    with pytest.raises(AssertionError):
        guard()


def test_every_trap_is_planted() -> None:
    assert [trap for trap, *_ in PLANTED] == list(range(1, 13))
