"""Reading a case: exact money, canonical bytes, and one clear refusal for each thing that can be wrong."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest

from costadvisor.economics import CaseError, case_bytes, case_sha256, parse_case
from costadvisor.economics.options import ApiOption
from tests.costadvisor.economics.cases import api, case, fleet

GONE = object()
CACHED_BOUNDS = "/uncertainty/~1workload~1cached_input_share"


def written(path: str, value: Any) -> dict[str, Any]:
    """A good case with one field changed; options by place."""
    content: dict[str, Any] = json.loads(json.dumps(case(api(), fleet(), uncertainty={}, constraints={})))
    *parents, last = path.split(".")
    here: Any = content
    for step in parents:
        here = here[int(step)] if step.isdigit() else here.setdefault(step, {})
    if value is GONE:
        del here[last]
    elif isinstance(here, list) and int(last) == len(here):
        here.append(value)
    else:
        here[int(last) if last.isdigit() else last] = value
    return content


MIX = {"id": "mix", "kind": "hybrid", "base": "h100", "overflow": "today"}
ROUTER = {"id": "router", "kind": "routed", "small": "h100", "large": "today", "small_share": 0.6}
UNITS = {
    "id": "ptu",
    "kind": "provisioned",
    "provider": "azure",
    "model": "gpt-4o",
    "usd_per_unit_hour": "1",
    "requests_per_s_per_unit": 1,
}

REFUSED = [
    # What is missing, unknown or of the wrong kind.
    ("schema", GONE, "/schema", 'missing; it must be "costadvisor.case/1"'),
    ("schema", "costadvisor.case/2", "/schema", "costadvisor.case/1"),
    ("as_of", GONE, "/as_of", "the day of the prices, such as 2026-11-01"),
    ("as_of", "2026-13-01", "/as_of", "a day such as"),
    ("as_of", 20261101, "/as_of", "a day such as"),
    ("workload", GONE, "/workload", "requests_per_month, input_tokens and output_tokens"),
    ("options", [], "/options", "at least 1"),
    ("options", {}, "/options", "a list"),
    ("options.1", 5, "/options/1", "an object"),
    ("options.0.prices.input_usd_per_mtok", GONE, "/options/today/prices/input_usd_per_mtok", "missing"),
    ("options.1.hardware", GONE, "/options/h100/hardware", 'such as {"gpu": "H100"}'),
    ("options.1.kind", GONE, "/options/h100/kind", "api, self_host, hybrid, routed or provisioned"),
    ("options.1.kind", "rented", "/options/h100/kind", "self_host"),
    ("options.1.hardware.usd_per_hourr", 1, "/options/h100/hardware/usd_per_hourr", "did you mean usd_per_hour?"),
    ("zzz~/q", 1, "/zzz~0~1q", "remove it"),
    ("options.0.baseline", "yes", "/options/today/baseline", "true or false"),
    ("options.0.provider", "", "/options/today/provider", "at least 1 character"),
    ("options.0.provider", 7, "/options/today/provider", "text"),
    ("options.0.privacy", ["secret"], "/options/today/privacy/0", "no_training"),
    ("options.1.hardware.plan", "leased", "/options/h100/hardware/plan", "on_demand"),
    ("workload.hourly_shape", "round", "/workload/hourly_shape", "168 weights"),
    ("workload.hourly_shape", [1] * 24, "/workload/hourly_shape", "168"),
    ("currency", "EUR", "/currency", "USD"),
    # Numbers.
    ("workload.cached_input_share", 1.2, "/workload/cached_input_share", "a share from 0 to 1"),
    ("workload.requests_per_month", 0, "/workload/requests_per_month", "1 or more"),
    ("workload.requests_per_month", math.nan, "/workload/requests_per_month", "1 or more"),
    ("workload.requests_per_month", math.inf, "/workload/requests_per_month", "1 or more"),
    ("workload.requests_per_month", "many", "/workload/requests_per_month", "1 or more"),
    ("workload.requests_per_month", True, "/workload/requests_per_month", "1 or more"),
    ("workload.growth_per_month", -1, "/workload/growth_per_month", "above -1"),
    ("discount_rate_per_year", -0.1, "/discount_rate_per_year", "from 0 to 1"),
    ("hours_per_month", 800, "/hours_per_month", "744"),
    ("horizon_months", 36.5, "/horizon_months", "whole number"),
    ("draws", 10**9, "/draws", "whole number"),
    ("options.1.hardware.usd_per_hour", "-1", "/options/h100/hardware/usd_per_hour", "0 or more"),
    ("options.1.hardware.usd_per_hour", "1,000", "/options/h100/hardware/usd_per_hour", "an amount in USD"),
    ("options.1.hardware.usd_per_hour", "$2", "/options/h100/hardware/usd_per_hour", "an amount in USD"),
    ("options.1.hardware.usd_per_hour", "1e9999", "/options/h100/hardware/usd_per_hour", "an amount in USD"),
    ("options.1.hardware.pue", 0.9, "/options/h100/hardware/pue", "1 or more"),
    ("options.1.scaling.spare_replicas", 0.5, "/options/h100/scaling/spare_replicas", "whole number"),
    # What the parts are to each other.
    ("options.0.baseline", False, "/options", "no baseline"),
    ("options.1.baseline", True, "/options", "2 baselines"),
    ("options.1.id", "today", "/options", "twice"),
    ("options.1.id", "a/b", "/options/a~1b/id", "letters"),
    ("workload.input_tokens", {}, "/workload/input_tokens", "neither mean nor trace"),
    ("workload.input_tokens", {"mean": 1, "trace": "x"}, "/workload/input_tokens", "a mean and a trace"),
    (
        "workload.input_tokens",
        {"mean": 5, "histogram": [{"tokens": 5, "share": 0.5}]},
        "/workload/input_tokens/histogram",
        "sum to 1",
    ),
    ("workload.hourly_shape", [0] * 168, "/workload/hourly_shape", "168 zeros"),
    ("options.1.capacity", {"requests_per_s": 1, "tokens_per_s": 1}, "/options/h100/capacity", "one of them"),
    ("options.1.capacity", {"grade": "A"}, "/options/h100/capacity", "no rate"),
    ("options.1.capacity", {"requests_per_s": 4, "low": 5}, "/options/h100/capacity", "low <= value <= high"),
    ("options.1.capacity", {"requests_per_s": 4, "high": 3}, "/options/h100/capacity", "low <= value <= high"),
    ("options.1.hardware.plan", "owned", "/options/h100/hardware/purchase_usd", "what a replica's hardware costs"),
    ("options.1.hardware.purchase_usd", "9", "/options/h100/hardware/purchase_usd", "leave it out"),
    ("options.1.scaling", {"min_replicas": 3, "max_replicas": 2}, "/options/h100/scaling/max_replicas", "at least"),
    ("options.1.scaling", {"policy": "window"}, "/options/h100/scaling/window_hours_per_day", "missing"),
    (
        "options.1.scaling",
        {"policy": "window", "window_hours_per_day": 3},
        "/options/h100/scaling/policy",
        "batchable_share 1",
    ),
    ("options.1.scaling", {"keep_warm": 1}, "/options/h100/scaling/keep_warm", "scale_to_zero"),
    (
        "constraints.min_quality",
        {"measure": "m", "reference": "x", "margin": 0},
        "/constraints/min_quality/reference",
        "no option",
    ),
    # Plans, policies and mixtures.
    ("options.1.hardware.power_kw", 1, "/options/h100/hardware/power_kw", 'belongs to "plan": "owned"'),
    ("options.1.hardware.residual_share", 0.2, "/options/h100/hardware/residual_share", 'belongs to "plan": "owned"'),
    (
        "options.1.hardware.colocation_usd_per_month",
        "9",
        "/options/h100/hardware/colocation_usd_per_month",
        'belongs to "plan": "owned"',
    ),
    (
        "options.1.hardware",
        {"gpu": "H100", "plan": "owned", "purchase_usd": "9", "commitment_months": 12},
        "/options/h100/hardware/commitment_months",
        "useful_life_months",
    ),
    (
        "options.1.hardware",
        {"gpu": "H100", "plan": "reserved_1y", "commitment_months": 36},
        "/options/h100/hardware/commitment_months",
        "must be 12",
    ),
    ("options.1.hardware.useful_life_months", 0, "/options/h100/hardware/useful_life_months", "1 to 120"),
    ("options.1.hardware.commitment_months", 121, "/options/h100/hardware/commitment_months", "0 to 120"),
    ("options.1.scaling.keep_warm", 1, "/options/h100/scaling/keep_warm", "scale_to_zero"),
    ("options.1.scaling.window_hours_per_day", 2, "/options/h100/scaling/window_hours_per_day", "window"),
    ("options.1.scaling.window_hours_per_day", 25, "/options/h100/scaling/window_hours_per_day", "at most 24"),
    ("options.1.scaling.cold_start_s", -1, "/options/h100/scaling/cold_start_s", "0 or more"),
    ("options.2", MIX | {"base": "today"}, "/options/mix/base", "of kind self_host (h100)"),
    ("options.2", MIX | {"overflow": "h100"}, "/options/mix/overflow", "of kind api (today)"),
    ("options.2", MIX | {"overflow": "nothing"}, "/options/mix/overflow", "no option"),
    (
        "options.2",
        {"id": "mix", "kind": "hybrid", "overflow": "today"},
        "/options/mix/base",
        "id of a self_host option",
    ),
    ("options.2", ROUTER | {"small_share": 1.5}, "/options/router/small_share", "a share from 0 to 1"),
    ("options.2", ROUTER | {"small": "today"}, "/options/router/large", "another option"),
    ("options.2", ROUTER | {"large": "router"}, "/options/router/large", "of kind routed"),
    ("options.2", UNITS | {"min_units": 0}, "/options/ptu/min_units", "1 or more"),
    ("options.2", UNITS | {"requests_per_s_per_unit": 0}, "/options/ptu/requests_per_s_per_unit", "above 0"),
    ("options.2", UNITS | {"usd_per_unit_hour": "-1"}, "/options/ptu/usd_per_unit_hour", "an amount in USD"),
    ("options.1.hardware.spot", {"fallback_usd_per_hour": "3"}, "/options/h100/hardware/spot", '"plan": "spot"'),
    ("options.1.hardware.spot", {}, "/options/h100/hardware/spot/fallback_usd_per_hour", "missing"),
    ("workload.cache_write_input_share", 1.1, "/workload/cache_write_input_share", "a share from 0 to 1"),
    (
        "workload",
        {**case(api())["workload"], "cached_input_share": 0.6, "cache_write_input_share": 0.5},
        "/workload/cache_write_input_share",
        "at most 1",
    ),
    (
        "options.0.prices.windows",
        [{"from_hour_utc": 24, "to_hour_utc": 4, "price_factor": 1}],
        "/options/today/prices/windows/0/from_hour_utc",
        "0 to 23",
    ),
    # Pointers.
    ("uncertainty./nothing", [1, 2, 3], "/uncertainty/~1nothing", "points at nothing"),
    ("uncertainty./options/x/setup_usd", [1, 2, 3], "/uncertainty/~1options~1x~1setup_usd", "nothing"),
    ("uncertainty./seed", [1, 2, 3], "/uncertainty/~1seed", "not uncertain"),
    ("uncertainty./workload/cached_input_share", [0.2, 0.1, 0.3], CACHED_BOUNDS, "low <= mode"),
    ("uncertainty./workload/cached_input_share", [0, 0.1, 1.3], CACHED_BOUNDS, "share"),
    ("uncertainty./drift/api_price_per_year", [0, 1], "/uncertainty/~1drift~1api_price_per_year/2", "missing"),
    ("evidence", {"/no": {"grade": "A", "basis": "billed", "source": "x"}}, "/evidence/~1no", "nothing"),
]


@pytest.mark.parametrize(("field", "value", "path", "says"), REFUSED)
def test_refusals_name_the_path_and_what_is_right(field: str, value: Any, path: str, says: str) -> None:
    with pytest.raises(CaseError) as refused:
        parse_case(written(field, value))
    assert refused.value.path == path
    assert says in str(refused.value)
    assert refused.value.problem
    assert refused.value.remedy


def test_there_are_enough_of_them() -> None:
    assert len({(field, str(value)) for field, value, *_ in REFUSED}) >= 60


def test_a_hybrids_base_is_a_fleet_that_can_be_one() -> None:
    zero = fleet(scaling={"policy": "scale_to_zero"})
    with pytest.raises(CaseError, match=r"/options/mix/base: is 'h100', whose policy is scale_to_zero; must be"):
        parse_case(case(api(), zero, MIX))


def test_a_gate_refers_to_an_option_that_has_a_score_of_its_own() -> None:
    gate = {"min_quality": {"measure": "m", "reference": "mix", "margin": 0}}
    with pytest.raises(CaseError, match=r"/constraints/min_quality/reference: is 'mix', of kind hybrid"):
        parse_case(case(api(), fleet(), MIX, constraints=gate))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "/"),
        ("{", "/"),
        ("[]", "/"),
        ("null", "/"),
        ("[" * 100_000, "/"),
        ('{"draws": ' + "9" * 5000 + "}", "/"),
    ],
)
def test_text_that_is_no_case(text: str, path: str) -> None:
    with pytest.raises(CaseError) as refused:
        parse_case(text)
    assert refused.value.path == path


def test_a_key_given_twice_is_refused_where_it_stands() -> None:
    text = json.dumps(case(api(), seed=7)).replace('"seed": 7', '"seed": 7, "seed": 8')
    with pytest.raises(CaseError, match="/seed: is given twice"):
        parse_case(text)


@pytest.mark.parametrize("price", ['"0.1"', "0.1", "0.10", '"0.100"'])
def test_money_is_exact_however_it_is_written(price: str) -> None:
    text = json.dumps(case(api(prices={"input_usd_per_mtok": "PRICE"}))).replace('"PRICE"', price)
    option = parse_case(text).options[0]
    assert isinstance(option, ApiOption)
    assert option.prices
    assert option.prices.input_usd_per_mtok == Decimal("0.1")


@pytest.mark.parametrize("price", [0.1 + 0.2, 1e-300, 1 / 3, 123456789.123456789])
def test_a_computed_double_is_read_as_far_as_an_amount_is_written(price: float) -> None:
    found = parse_case(case(api(prices={"input_usd_per_mtok": price})))
    assert parse_case(case_bytes(found).decode()) == found


def test_two_spellings_of_a_case_are_the_same_case() -> None:
    terse = case(api(), workload={"growth_per_month": 0})
    wordy = json.loads(json.dumps(terse)) | {"seed": 7.0, "hours_per_month": 730, "horizon_months": 36}
    wordy["options"][0]["prices"]["output_usd_per_mtok"] = 0.6
    assert case_sha256(parse_case(terse)) == case_sha256(parse_case(wordy))
    assert case_sha256(parse_case(terse)) != case_sha256(parse_case(terse | {"seed": 8}))


def test_canonical_bytes_parse_to_the_same_case() -> None:
    found = parse_case(case(api(), fleet(), uncertainty={"/drift/api_price_per_year": [-0.2, -0.05, 0.05]}))
    again = parse_case(case_bytes(found).decode())
    assert again == found
    assert case_bytes(again) == case_bytes(found)
    assert parse_case(found.model_dump(by_alias=True)) == found
