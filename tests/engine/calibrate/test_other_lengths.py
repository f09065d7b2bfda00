"""A record's rate carried over to lengths that were not measured, against what the server truly does there."""

import json
from typing import Any

import pytest

from engine.calibrate.other_lengths import ROUGHNESS, Asked, TokenCounts, own_rate, rate_at
from engine.calibrate.record import Record
from engine.calibrate.slo import Slo
from engine.errors import InputError
from tests.engine.calibrate.gpu_record import changed, made

# λ* of the step times of `gpu_record.H100`, by `capacity.max_rate` with its 8 runs of 1,200 requests.
TRUE_OWN = 44.27
TRUE = [
    (512, 32, Slo(1000, 30), 52.53),
    (1155, 211, Slo(300, 12), 8.520),
    (200, 20, Slo(200, 30), 106.4),
    (2000, 100, Slo(400, 20), 9.218),
]


@pytest.fixture(scope="module")
def record() -> Record:
    """512 tokens in, 32 out; it states what is true there."""
    plain = json.loads(made()[0].to_json())
    rate = {"requests_per_s": TRUE_OWN, "low": 0.97 * TRUE_OWN, "high": 1.03 * TRUE_OWN, "method": "simulated"}
    return changed(made()[0], derived=plain["derived"] | {"max_rate": rate})


@pytest.fixture(scope="module")
def own(record: Record) -> float | None:
    return own_rate(record)


def asked(prompt: float, answer: float, slo: Slo, **more: Any) -> Asked:
    return Asked(TokenCounts(prompt), TokenCounts(answer), more.get("burstiness", 1.0), slo)


def with_model(record: Record, **changes: Any) -> Record:
    derived = json.loads(record.to_json())["derived"]
    return changed(record, derived=derived | {"step_model": derived["step_model"] | changes})


@pytest.mark.parametrize(("prompt", "answer", "slo", "true"), TRUE)
def test_other_lengths_and_limits_come_out_as_they_truly_are(
    record: Record, own: float | None, prompt: int, answer: int, slo: Slo, true: float
) -> None:
    found = rate_at(record, asked(prompt, answer, slo), own)
    assert found.requests_per_s == pytest.approx(true, rel=ROUGHNESS)
    assert found.low <= true <= found.high


def test_what_was_measured_comes_out_as_it_was_stated(record: Record, own: float | None) -> None:
    slo = Slo(record.slo.ttft_p95_ms, record.slo.tpot_p95_ms)
    found = rate_at(record, asked(512, 32, slo), own)
    assert found.requests_per_s == pytest.approx(TRUE_OWN)
    assert found.low < 0.97 * TRUE_OWN < 1.03 * TRUE_OWN < found.high


def test_clumped_arrivals_leave_less(record: Record, own: float | None) -> None:
    smooth, bursty = (rate_at(record, asked(512, 32, Slo(120, 30), burstiness=b), own) for b in (1.0, 0.25))
    assert bursty.requests_per_s < 0.97 * smooth.requests_per_s


def test_long_prompts_among_short_ones_leave_less_than_the_mean_says(record: Record, own: float | None) -> None:
    alike = rate_at(record, asked(512, 32, Slo(120, 30)), own)
    spread = TokenCounts(512, ((128.0, 0.75), (1664.0, 0.25)))
    mixed = rate_at(record, Asked(spread, TokenCounts(32), 1.0, Slo(120, 30)), own)
    assert mixed.requests_per_s < alike.requests_per_s


def test_the_further_off_the_lengths_the_less_is_known(record: Record, own: float | None) -> None:
    """A record of prompts that are all alike hardly tells what a token costs from what a pair of tokens does."""
    terms = record.derived.step_model.terms if record.derived.step_model else ()
    doubts = {"c": 0.002, "e": 8e-6}
    covariance = [[0.0] * len(terms) for _ in terms]
    for one in doubts:
        for other in doubts:
            sign = 1 if one == other else -1
            covariance[terms.index(one)][terms.index(other)] = sign * doubts[one] * doubts[other]
    doubtful = with_model(record, covariance=covariance)
    near, far = (rate_at(doubtful, asked(prompt, 32, Slo(1000, 30)), own) for prompt in (512, 3000))
    assert near.stretch < 0.05 < 0.15 < far.stretch
    assert far.low / far.requests_per_s < near.low / near.requests_per_s


def test_limits_out_of_reach_are_no_rate(record: Record, own: float | None) -> None:
    assert rate_at(record, asked(512, 32, Slo(120, 5)), own).requests_per_s == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"derived": {"step_model": None}}, "no step model of its own"),
        ({"engine": {"num_blocks": None}}, "does not say how the engine was set up"),
        ({"workload": {"prefix_hit_share": 0.4}}, "shared beginnings"),
        ({"derived": {"max_rate": None, "no_rate_because": "void"}}, "states no rate"),
        ({"workload": {"mix": None}}, "does not hold the lengths"),
    ],
)
def test_a_record_that_cannot_say_is_an_error(record: Record, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        rate_at(changed(record, **changes), asked(1000, 100, Slo(500, 30)), 1.0)


def test_requests_that_the_replica_had_no_room_for_are_an_error(record: Record) -> None:
    with pytest.raises(InputError, match="had no room for a request of 50,100 tokens"):
        rate_at(record, asked(50_000, 100, Slo(500, 30)), 1.0)


def test_a_record_of_a_trace_has_no_rate_of_its_own_but_takes_what_a_case_brings(record: Record) -> None:
    traced = changed(record, workload={"mix": None})
    assert own_rate(traced) is None
    brought = Asked(TokenCounts(512, ((512.0, 1.0),)), TokenCounts(32), 1.0, Slo(120, 30))
    assert rate_at(traced, brought, None).requests_per_s == pytest.approx(TRUE_OWN, rel=0.1)
