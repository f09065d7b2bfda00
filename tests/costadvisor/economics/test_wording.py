"""What a finance lead reads names options and inputs as people do: no id, no pointer, no code."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from costadvisor.economics import Evaluation
from costadvisor.economics.names import input_name, input_text
from tests.costadvisor.economics.cases import answer, api, fleet

GATE = {"measure": "ifeval", "reference": "id-today", "margin": 0.02}
SCORE = {"measure": "ifeval", "score": 0.8, "n": 50}
TODAY = api("id-today", quality=[SCORE], privacy=["no_training"], latency={"ttft_p95_ms": 900})
HOST = api("id-host", baseline=False, model="Qwen3-8B", provider="deepinfra", open_weights=True, quality=[SCORE])
OWN = fleet("id-own", usd_per_hour="1.50", quality=[SCORE], prefix_hit_share=0.2)
CASES: list[tuple[tuple[dict[str, Any], ...], dict[str, Any]]] = [
    ((TODAY, HOST, OWN), {}),
    ((TODAY, HOST, OWN), {"workload": {"requests_per_month": 200_000_000, "burstiness": 0.2}}),
    ((TODAY, HOST, OWN), {"constraints": {"min_quality": GATE, "privacy": ["no_training", "in_region"]}}),
    ((TODAY, OWN), {"slo": {"ttft_p95_ms": 500, "tpot_p95_ms": 50}, "constraints": {"min_quality": GATE}}),
    ((TODAY, fleet("id-own", capacity={"tokens_per_s": 4000})), {"workload": {"requests_per_month": 12_000_000}}),
    ((fleet("id-own", baseline=True, scaling={"max_replicas": 2}),), {"workload": {"requests_per_month": 19_900_000}}),
]


def texts(found: Evaluation) -> Iterator[str]:
    yield found.verdict.sentence
    yield from found.verdict.reasons
    yield from (row.message for row in found.break_even)
    yield from found.limitations
    yield from (check.message for check in found.checks)
    yield from (refusal.message for row in found.options for refusal in row.refusals)


@pytest.mark.parametrize(("options", "changes"), CASES)
def test_no_text_shows_an_id_a_pointer_or_a_code(options: tuple[dict[str, Any], ...], changes: dict[str, Any]) -> None:
    for text in texts(answer(*options, **changes)):
        assert not re.search(r"\bid-|/\w+/|\w_\w|TTFT|TPOT|SLO|TCO|NPV", text), text
        assert text[0].isupper() or text.startswith("gpt-"), text
        assert text.endswith("."), text


def test_an_input_that_would_change_the_answer_is_named_with_its_unit() -> None:
    found = answer(TODAY, OWN, workload={"requests_per_month": 60_000_000})
    [told] = [reason for reason in found.verdict.reasons if "would change the answer" in reason]
    first = next(row for row in found.sensitivity if row.switching_value is not None)
    assert first.switching_value is not None
    name = input_name(first.input, {"id-own": "Qwen3-8B on H100", "id-today": "gpt-4o-mini at openai"})
    assert told.startswith(f"Alone, {name} would")
    assert input_text(first.input, first.switching_value) in told


@pytest.mark.parametrize(
    ("pointer", "value", "text"),
    [
        ("/workload/input_tokens/mean", 1154.7, "1,155"),
        ("/slo/ttft_p95_ms", 10_000.0, "10,000"),
        ("/workload/requests_per_month", 12_120_000.0, "12.1M"),
        ("/options/a/prices/cached_input_usd_per_mtok", 0.117, "$0.117"),
        ("/drift/api_price_per_year", -0.05, "−5 %"),
        ("/options/a/operations/fte", 0.25, "0.25"),
    ],
)
def test_values_are_written_as_people_read_them(pointer: str, value: float, text: str) -> None:
    assert input_text(pointer, value) == text


def test_a_fleet_that_scales_to_zero_has_no_spares() -> None:
    """Its plan does not count them, and so its words do not either."""
    found = answer(api(), fleet(scaling={"policy": "scale_to_zero", "spare_replicas": 1}))
    assert any("needs 1 replica in its busiest hour, and is" in reason for reason in found.verdict.reasons)
    fixed = answer(api(), fleet(scaling={"spare_replicas": 1}))
    assert any("2 replicas in its busiest hour, 1 of them spare" in reason for reason in fixed.verdict.reasons)
