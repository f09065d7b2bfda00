"""The assumptions log: every number a decision rests on, with its range, where it comes from and what it moves."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from costadvisor.common.spreadsheet import csv_text
from costadvisor.economics import Case, case_bytes
from costadvisor.economics.evaluation import Evaluation, EvidenceRow, Sensitivity
from costadvisor.economics.inputs import uncertain_inputs
from costadvisor.economics.options import SelfHostOption

# Parts of a case that describe other parts, and words that decide as much as numbers do.
NOT_ASSUMED = ("/seed", "/draws", "/uncertainty", "/evidence")
WORDS = ("/as_of", "/hourly_shape", "/policy", "/plan", "/privacy")
LONG_LIST = 12
OWNED: tuple[str, ...] = (
    "hardware/purchase_usd",
    "hardware/useful_life_months",
    "hardware/residual_share",
    "hardware/power_kw",
    "hardware/usd_per_kwh",
    "hardware/pue",
    "hardware/colocation_usd_per_month",
)
SCALED_TO_ZERO = ("scaling/idle_timeout_s", "scaling/keep_warm")


@dataclass(frozen=True)
class Assumption:
    """One value of the resolved case. `impact` compares its swing in the sensitivity with the largest."""

    pointer: str
    value: str
    low: str
    mode: str
    high: str
    grade: str
    source: str
    as_of: str
    impact: str


def assumptions(evaluation: Evaluation, case: Case) -> tuple[Assumption, ...]:
    """In the order of the case's canonical form; without fields that cost nothing under an option's plan or policy."""
    without_effect = set(_without_effect(case))
    ranges = {drawn.pointer: (drawn.low, drawn.mode, drawn.high) for drawn in uncertain_inputs(case)}
    impacts = _impacts(evaluation.sensitivity)
    return tuple(
        _assumption(pointer, value, ranges.get(pointer), impacts.get(pointer, ""), evaluation.evidence)
        for pointer, value in _leaves(json.loads(case_bytes(case)))
        if not pointer.startswith(NOT_ASSUMED)
        and pointer not in without_effect
        and (_is_number(value) or pointer.endswith(WORDS))
    )


def assumptions_csv(rows: tuple[Assumption, ...]) -> str:
    """The log as a file. Text that a spreadsheet would run as a formula is defused; numbers stay numbers."""
    columns = [field.name for field in fields(Assumption)]
    return csv_text(columns, ([getattr(row, column) for column in columns] for row in rows))


def _without_effect(case: Case) -> Iterator[str]:
    """What only an owned machine costs, and what only a fleet that scales to zero waits for."""
    for option in case.options:
        if isinstance(option, SelfHostOption):
            fields = () if option.hardware.plan == "owned" else OWNED
            fields += () if option.scaling.policy == "scale_to_zero" else SCALED_TO_ZERO
            yield from (f"/options/{option.id}/{field}" for field in fields)


def _leaves(node: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value with its pointer; options by id, as the case's own pointers have them."""
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _leaves(child, f"{pointer}/{key}")
    elif isinstance(node, list) and any(isinstance(child, dict) for child in node) and len(node) <= LONG_LIST:
        for index, child in enumerate(node):
            yield from _leaves(child, f"{pointer}/{child.get('id', index)}")
    elif node is not None and node != []:
        yield pointer, node


def _assumption(
    pointer: str,
    value: Any,
    bounds: tuple[float, float, float] | None,
    impact: str,
    evidence: tuple[EvidenceRow, ...],
) -> Assumption:
    low, mode, high = map(_short, bounds) if bounds else ("", "", "")
    known = next((row for row in evidence if f"{pointer}/".startswith(f"{row.field}/")), None)
    return Assumption(
        pointer=pointer,
        value=_text(value),
        low=low,
        mode=mode,
        high=high,
        grade=known.grade if known else "",
        source=known.source if known else "given in the case, or its default",
        as_of=known.as_of.isoformat() if known and known.as_of else "",
        impact=impact,
    )


def _impacts(sensitivity: tuple[Sensitivity, ...]) -> dict[str, str]:
    swings = {row.input: abs(float(row.npv_high_usd - row.npv_low_usd)) for row in sensitivity}
    largest = max(swings.values(), default=0.0)
    return {pointer: _impact(swing, largest) for pointer, swing in swings.items()}


def _impact(swing: float, largest: float) -> str:
    if not largest or swing < 0.1 * largest:
        return "low"
    return "high" if swing >= 0.5 * largest else "medium"


def _short(bound: float) -> str:
    return f"{bound:.0f}" if abs(bound) >= 1000 else f"{bound:.6g}"


def _text(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    return ", ".join(value) if isinstance(value[0], str) else f"{len(value)} values, see case.json"


def _is_number(value: Any) -> bool:
    """Money may be written as text."""
    if isinstance(value, bool):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return isinstance(value, list) and not isinstance(value[0], str)
    return True
