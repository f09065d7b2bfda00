"""Mutated cases: each is refused with a path and a useful sentence, or answered with every check passed.

A few run each time; `FUZZED_CASES=5000 python -m pytest tests/costadvisor/economics/test_fuzz.py` runs many.
"""

import copy
import json
import os
import random
from typing import Any

import pytest

from costadvisor.economics import CaseError, case_bytes, evaluate, parse_case
from tests.costadvisor.economics.cases import Json, api, case, fleet

FUZZED_CASES = int(os.environ.get("FUZZED_CASES", "120"))
PARTS = 8

STRANGE: list[Any] = [
    None, True, False, 0, -1, 1, 2, 0.5, 1.5, -0.0, 1e-300, 1e300, 10**30, float("nan"), float("inf"), "", "0", "-1",
    "1e9", "0.00000000000000000001", "x", "today", "h100", "flat", [], {}, [1], [0] * 168, [1] * 168, {"mean": 0},
    {"peak_to_mean": 24}, {"trace": "x"}, "window", "scale_to_zero", "scheduled", "owned", "spot", "reserved_3y",
    "serverless", "\0", "é" * 300,
]  # fmt: skip


def whole_case() -> Json:
    """Every kind of option, and a value for most keys."""
    owned = {"plan": "owned", "usd_per_hour": "0.1", "purchase_usd": "30000", "power_kw": 1, "usd_per_kwh": "0.1"}
    scaling = {"policy": "scheduled", "cold_start_s": 120, "max_replicas": 1000}
    quality = [{"measure": "m", "score": 0.8, "n": 1000}]
    unit = {"usd_per_unit_hour": "1", "requests_per_s_per_unit": 0.5, "commitment_months": 6, "min_units": 2}
    return case(
        api(quality=quality, privacy=["no_training"], latency={"ttft_p95_ms": 500}, reconciliation_factor=0.9),
        fleet(scaling=scaling, quality=quality, privacy=["own_vpc"], operations={"fte": 0.1, "setup_usd": "5000"}),
        fleet("own", hardware=owned | {"residual_share": 0.2, "pue": 1.2, "colocation_usd_per_month": "100"}),
        fleet("zero", scaling={"policy": "scale_to_zero", "keep_warm": 0}, hardware={"plan": "serverless"}),
        fleet("res", hardware={"plan": "reserved_1y"}, capacity={"tokens_per_s": 4000, "grade": "D"}),
        {"id": "mix", "kind": "hybrid", "base": "h100", "overflow": "today"},
        {"id": "router", "kind": "routed", "small": "h100", "large": "today", "small_share": 0.6},
        {"id": "ptu", "kind": "provisioned", "provider": "azure", "model": "gpt-4o"} | unit,
        workload={"hourly_shape": {"peak_to_mean": 2}, "cached_input_share": 0.2, "batchable_share": 0.1},
        constraints={
            "privacy": ["no_training"],
            "min_quality": {"measure": "m", "reference": "today", "margin": 0.05},
            "max_commitment_months": 24,
        },
        slo={"ttft_p95_ms": 1000, "tpot_p95_ms": 50},
        uncertainty={"/drift/api_price_per_year": [-0.2, -0.05, 0.05]},
        evidence={"/workload": {"grade": "B", "basis": "measured", "source": "logs"}},
        draws=12,
        horizon_months=6,
    )


def places(part: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a case, by its steps."""
    steps = list(part.items()) if isinstance(part, dict) else list(enumerate(part)) if isinstance(part, list) else []
    return [(*path, step) for step, _ in steps] + [
        found for step, inside in steps for found in places(inside, (*path, step))
    ]


def mutated(content: Json, chance: random.Random) -> Json:
    """One to three changes: a value put elsewhere, a strange one, a key gone, renamed, or given to a neighbour."""
    changed = copy.deepcopy(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        *above, last = chance.choice(places(changed))
        here = changed
        for step in above:
            here = here[step]
        kind = chance.randrange(6)
        if kind == 0:
            del here[last]
        elif kind == 1 and isinstance(here, dict):
            here[f"{last}x"] = here.pop(last)
        elif kind == 2 and isinstance(here[last], int | float) and not isinstance(here[last], bool):
            here[last] = here[last] * chance.choice((0, -1, 0.001, 1000, 1e9))
        elif kind == 3:
            here[last] = _at(content, chance.choice(places(content)))
        else:
            here[last] = copy.deepcopy(chance.choice(STRANGE))
    return changed


def _at(content: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        content = content[step]
    return copy.deepcopy(content)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_mutated_case_brings_a_traceback(part: int) -> None:
    chance, sound, refused = random.Random(part), whole_case(), list[CaseError]()
    for _ in range(FUZZED_CASES // PARTS):
        written = mutated(sound, chance)
        try:
            found = parse_case(written)
            answered = evaluate(found)
        except CaseError as problem:
            refused.append(problem)
            continue
        assert [check.message for check in answered.checks if not check.ok] == [], json.dumps(written, default=str)
        assert parse_case(case_bytes(found).decode()) == found
        json.loads(answered.to_json())
    for error in refused:
        assert error.path.startswith("/")
        assert error.problem.strip()
        assert error.remedy.strip()
        assert len(str(error)) < 600


def test_the_sound_case_is_answered() -> None:
    answered = evaluate(parse_case(whole_case()))
    assert answered.checks[-1].ok
    assert len(answered.options) == 8
