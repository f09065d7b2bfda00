"""A case at lengths, clumping or limits that its record was not measured at."""

from typing import Any

import pytest

from costadvisor.decisions import simulated
from costadvisor.decisions.resolve import case_resolve
from costadvisor.economics import Case, parse_case
from engine.calibrate.other_lengths import Asked, SimulatedRate
from engine.calibrate.record import Record
from tests.engine.calibrate.gpu_record import changed, made

Json = dict[str, Any]


def resolved(record: Record, workload: Json, slo: Json) -> Case:
    case: Json = {
        "schema": "costadvisor.case/1",
        "as_of": "2026-11-10",
        "workload": {"requests_per_month": 1e6} | workload,
        "slo": slo,
        "options": [
            {"id": "today", "kind": "api", "provider": "openai", "model": "gpt-4.1-mini", "baseline": True},
            {"id": "h100", "kind": "self_host", "model": "Qwen3-8B", "hardware": {"gpu": "H100"},
             "capacity": {"record": f"sha256:{record.sha256}"}},
        ],
    }  # fmt: skip
    return case_resolve(parse_case(case), folder=None, records={record.sha256: record}.get)


def capacity(case: Case) -> Any:
    return next(option for option in case.options if option.kind == "self_host").capacity


def lengths(prompt: float, answer: float) -> Json:
    return {"input_tokens": {"mean": prompt}, "output_tokens": {"mean": answer}}


OWN_SLO = {"ttft_p95_ms": 120, "tpot_p95_ms": 30}


@pytest.fixture(scope="module")
def record() -> Record:
    """512 tokens in, 32 out, inside 120 ms and 30 ms a token."""
    return made()[0]


def test_other_lengths_are_simulated_and_that_is_said(record: Record) -> None:
    own = capacity(resolved(record, lengths(512, 32), OWN_SLO))
    case = resolved(record, lengths(1155, 211), {"ttft_p95_ms": 1000, "tpot_p95_ms": 30})
    found, said = capacity(case), case.evidence["/options/h100/capacity"]
    # A division by the larger ratio of lengths, 6.6, would leave 8.
    assert 11 < found.requests_per_s < 15 < own.requests_per_s
    assert found.low < found.requests_per_s < found.high
    assert (found.grade, found.record) == ("B", f"sha256:{record.sha256}")
    assert (said.grade, said.basis, str(said.as_of)) == ("B", "measured", record.created_at[:10])
    assert said.source.endswith(
        "simulated from its step model for 1,155 tokens in and 211 out; measured with 512 and 32"
    )


def test_a_stricter_limit_is_simulated_and_one_that_nobody_can_keep_is_no_capacity(record: Record) -> None:
    own, strict, beyond = (
        capacity(resolved(record, lengths(512, 32), {"ttft_p95_ms": ttft, "tpot_p95_ms": 30})).requests_per_s
        for ttft in (120, 60, 5)
    )
    assert 0 == beyond < strict < own


def test_clumped_arrivals_are_in_the_figure_and_not_taken_off_again(record: Record) -> None:
    smooth, bursty = (capacity(resolved(record, lengths(512, 32) | {"burstiness": b}, OWN_SLO)) for b in (1, 0.25))
    assert bursty.record == smooth.record
    assert bursty.requests_per_s < smooth.requests_per_s


def test_lengths_far_off_and_a_record_that_is_no_better_are_no_b(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = SimulatedRate(5.0, 3.0, 7.0, stretch=0.2)
    monkeypatch.setattr(simulated, "rate_at", lambda *_: far)
    assert capacity(resolved(record, lengths(5000, 32), OWN_SLO)).grade == "C"


def test_without_a_step_model_the_rate_is_divided_as_before(record: Record) -> None:
    bare = changed(record, derived={"step_model": None})
    found = capacity(resolved(bare, lengths(1024, 32), OWN_SLO))
    stated = bare.derived.max_rate
    assert stated
    assert float(found.requests_per_s) == pytest.approx(stated.requests_per_s / 2, rel=1e-5)
    assert found.grade == "C"


def test_the_same_question_is_simulated_once(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Asked]()

    def rate_at(_: Record, question: Asked, own: float | None) -> SimulatedRate:
        asked.append(question)
        return SimulatedRate(5.0, 4.5, 5.5)

    monkeypatch.setattr(simulated, "rate_at", rate_at)
    for prompt in (3000, 3000, 3001):
        resolved(record, lengths(prompt, 32), OWN_SLO)
    assert len(asked) == 2
