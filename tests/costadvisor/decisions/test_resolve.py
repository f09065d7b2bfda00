"""Cases as people write them, resolved through the public face."""

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costadvisor.decisions.resolve import case_resolve
from costadvisor.economics import Case, CaseError, case_sha256, evaluate, parse_case

Json = dict[str, Any]
CASE: Json = {
    "schema": "costadvisor.case/1",
    "as_of": "2026-11-10",
    "workload": {
        "requests_per_month": 1_000_000,
        "input_tokens": {"mean": 1024},
        "output_tokens": {"mean": 128},
    },
    "slo": {"ttft_p95_ms": 1000, "tpot_p95_ms": 50},
    "options": [
        {"id": "today", "kind": "api", "provider": "openai", "model": "gpt-4.1-mini", "baseline": True},
        {
            "id": "h100",
            "kind": "self_host",
            "model": "Qwen/Qwen3-8B",
            "hardware": {"gpu": "H100", "usd_per_hour": "3.99"},
            "capacity": {"record": "published:qwen3-8b-h100-bf16-1024x128"},
        },
    ],
}


def resolve(case: Json, folder: Path | None = None) -> Case:
    return case_resolve(parse_case(case), folder=folder)


def option(case: Json, id_: str) -> Any:
    return next(option for option in case["options"] if option["id"] == id_)


def resolved_option(case: Case, id_: str) -> Any:
    return next(option for option in case.options if option.id == id_)


@pytest.fixture
def case() -> Json:
    return deepcopy(CASE)


def test_prices_left_out_come_from_the_catalog_with_their_source(case: Json) -> None:
    found = resolve(case)
    prices = resolved_option(found, "today").prices
    assert (str(prices.input_usd_per_mtok), str(prices.cached_input_usd_per_mtok)) == ("0.4", "0.1")
    evidence = found.evidence["/options/today/prices"]
    assert (evidence.grade, evidence.basis) == ("D", "imported")
    assert evidence.source.startswith("list price, genai-prices")


def test_what_is_written_stands(case: Json) -> None:
    option(case, "today")["prices"] = {"input_usd_per_mtok": "9", "output_usd_per_mtok": "9"}
    case["evidence"] = {"/options/today/prices": {"grade": "A", "basis": "billed", "source": "our contract"}}
    found = resolve(case)
    assert str(resolved_option(found, "today").prices.input_usd_per_mtok) == "9"
    assert found.evidence["/options/today/prices"].source == "our contract"


def test_prices_go_by_the_day_of_the_case(case: Json) -> None:
    host = option(case, "today")
    host |= {"provider": "openrouter", "model": "meta-llama/llama-3.1-8b-instruct"}
    assert str(resolved_option(resolve(case), "today").prices.input_usd_per_mtok) == "0.05"
    case["as_of"] = "2026-10-18"
    assert str(resolved_option(resolve(case), "today").prices.input_usd_per_mtok) == "0.02"


def test_a_model_nobody_has_a_price_of_is_refused_by_its_path(case: Json) -> None:
    option(case, "today")["model"] = "no-such-model"
    with pytest.raises(CaseError, match=r"^/options/today/prices: no list price of openai / no-such-model"):
        resolve(case)


def test_a_rent_that_is_an_offer_is_cited_and_a_missing_one_is_the_median(case: Json) -> None:
    cited = resolve(case).evidence["/options/h100/hardware/usd_per_hour"]
    assert cited.source.startswith("runpod secure, H100 SXM")
    del option(case, "h100")["hardware"]["usd_per_hour"]
    found = resolve(case)
    assert found.evidence["/options/h100/hardware/usd_per_hour"].source.startswith("median of")
    assert 3 < resolved_option(found, "h100").hardware.usd_per_hour < 7


def test_a_rent_nobody_offers_stays_without_evidence_or_is_refused(case: Json) -> None:
    option(case, "h100")["hardware"]["usd_per_hour"] = "1.2345"
    assert "/options/h100/hardware/usd_per_hour" not in resolve(case).evidence
    option(case, "h100")["hardware"] = {"gpu": "H100", "plan": "serverless"}
    assert resolve(case)
    option(case, "h100")["hardware"] = {"gpu": "H100", "plan": "reserved_3y"}
    case["as_of"] = "2020-01-01"
    with pytest.raises(CaseError, match=r"^/options/h100/hardware/usd_per_hour: is missing, and no reserved_3y offer"):
        resolve(case)


def test_what_an_own_fleet_takes_for_granted_is_cited_with_its_published_range(case: Json) -> None:
    option(case, "h100")["operations"] = {"usd_per_month": "900"}
    rows = {row.field: row for row in evaluate(resolve(case)).evidence}
    people = rows["/options/h100/operations/fte"]
    assert people.source == "assumed: our default; published: 0.1 to 0.2 FTE (agoradigest.com, 2026-06-21)"
    assert (people.grade, str(people.as_of)) == ("E", "2026-06-21")
    tools = rows["/options/h100/operations/usd_per_month"].source
    assert tools.startswith("assumed: given without a source; published: 350 to 2,000 USD/month (ai-cost-calculator")
    assert rows["/options/h100/operations/setup_usd"].source.endswith("our judgement")
    assert "/options/h100/hardware/purchase_usd" not in rows


def test_what_the_case_says_of_its_people_stands(case: Json) -> None:
    case["evidence"] = {"/options/h100/operations": {"grade": "B", "basis": "estimated", "source": "our payroll"}}
    rows = {row.field: row for row in evaluate(resolve(case)).evidence}
    assert rows["/options/h100/operations/fte"].source == "estimated: our payroll"


def test_hardware_of_ones_own_has_published_prices_beside_it(case: Json) -> None:
    owned = {"gpu": "H100", "plan": "owned", "purchase_usd": "40000", "power_kw": 1.73, "usd_per_kwh": "0.12"}
    option(case, "h100")["hardware"] = owned
    rows = {row.field: row.source for row in evaluate(resolve(case)).evidence}
    bought = rows["/options/h100/hardware/purchase_usd"]
    assert "One H100: 25,000 to 40,000 USD" in bought
    assert "Server with eight H100: 250,000 to 833,806 USD" in bought
    assert "0.0821 to 0.146 USD/kWh (US Energy Information Administration" in rows["/options/h100/hardware/usd_per_kwh"]


def test_a_published_series_becomes_a_graded_capacity(case: Json) -> None:
    found = resolve(case)
    capacity, evidence = resolved_option(found, "h100").capacity, found.evidence["/options/h100/capacity"]
    # 2,697.1 tokens/s at 32 in flight over 128 tokens is inside 1,000 ms, and below 0.75 x 28.3 requests/s
    assert float(capacity.requests_per_s) == pytest.approx(2697.1 / 128, rel=1e-5)
    assert (capacity.grade, evidence.grade, evidence.basis) == ("C", "C", "imported")
    assert "published tail meets the latency target" in evidence.source
    # burstier arrivals than a published loop are the decision model's to derate
    assert capacity.record is None


def test_other_lengths_lower_the_rate_and_the_grade(case: Json) -> None:
    case["workload"]["output_tokens"]["mean"] = 640
    capacity = resolved_option(resolve(case), "h100").capacity
    assert float(capacity.requests_per_s) == pytest.approx(2697.1 / 128 / 5, rel=1e-5)
    assert capacity.grade == "D"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"record": "published:none"}, "'none' is no published series; choose one of gpt-oss-20b-h100"),
        ({"model": "Llama-3.1-8B"}, "was measured with Qwen/Qwen3-8B, not with Llama-3.1-8B"),
        ({"gpu": "L40S"}, "was measured on 1 x H100, not on this option's hardware"),
    ],
)
def test_a_published_series_must_fit_the_option(case: Json, change: dict[str, str], message: str) -> None:
    host = option(case, "h100")
    host["model"] = change.get("model", host["model"])
    host["hardware"]["gpu"] = change.get("gpu", host["hardware"]["gpu"])
    host["capacity"]["record"] = change.get("record", host["capacity"]["record"])
    with pytest.raises(CaseError, match=rf"^/options/h100/capacity/record: {message}"):
        resolve(case)


def write_trace(folder: Path, hours: int) -> str:
    """One request a minute from a Monday midnight on, two where the hour is 14."""
    start = datetime(2026, 10, 5, tzinfo=UTC)
    moments = [start + timedelta(minutes=minute) for minute in range(hours * 60)]
    moments += [moment + timedelta(seconds=30) for moment in moments if moment.hour == 14]
    rows = [f"{moment:%Y-%m-%d %H:%M:%S},{100 + 900 * (moment.minute == 0)},50" for moment in sorted(moments)]
    name = f"trace{hours}.csv"
    (folder / name).write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))
    return name


def test_an_hours_trace_gives_lengths_and_says_it_knows_no_week(case: Json, tmp_path: Path) -> None:
    name = write_trace(tmp_path, 3)
    case["workload"] |= {"input_tokens": {"trace": name}, "output_tokens": {"trace": name}}
    found = resolve(case, tmp_path)
    lengths = found.workload.input_tokens
    assert float(lengths.mean or 0) == pytest.approx(115)
    assert sum(part.share for part in lengths.histogram) == pytest.approx(1)
    assert float(max(part.tokens for part in lengths.histogram)) == 400
    assert len(lengths.trace_sha256 or "") == 64
    assert found.workload.hourly_shape == parse_case(CASE).workload.hourly_shape
    assert "says nothing of the week" in found.evidence["/workload/hourly_shape"].source


def test_a_dated_week_gives_168_weights_unless_the_case_says_otherwise(case: Json, tmp_path: Path) -> None:
    name = write_trace(tmp_path, 170)
    case["workload"] |= {"input_tokens": {"trace": name}, "output_tokens": {"mean": 50}}
    weights: Any = resolve(case, tmp_path).workload.hourly_shape
    assert [hour for hour in range(168) if weights[hour] > 1.5] == [14 + 24 * day for day in range(7)]
    case["workload"]["hourly_shape"] = "flat"
    assert resolve(case, tmp_path).workload.hourly_shape == "flat"


@pytest.mark.parametrize("field", ["input_tokens", "output_tokens"])
def test_files_are_read_on_the_command_line_only(case: Json, tmp_path: Path, field: str) -> None:
    case["workload"][field] = {"trace": write_trace(tmp_path, 1)}
    assert resolve(case, tmp_path)
    with pytest.raises(CaseError, match=rf"^/workload/{field}/trace: names a file, and files are read on the command"):
        resolve(case, None)


def test_records_are_read_on_the_command_line_only(case: Json) -> None:
    option(case, "h100")["capacity"] = {"record": "/etc/passwd"}
    with pytest.raises(CaseError, match=r"^/options/h100/capacity/record: names a file, and files are read on"):
        resolve(case, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"can't be read: .*none\.csv \(No such file or directory\)"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", r"The trace none\.csv has no requests"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\nnoon,1,1\n", r"The trace none\.csv line 2: TIMESTAMP is 'noon'"),
    ],
)
def test_a_bad_trace_is_refused_by_its_path(case: Json, tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "none.csv").write_text(content)
    case["workload"]["input_tokens"] = {"trace": "none.csv"}
    with pytest.raises(CaseError, match=rf"^/workload/input_tokens/trace: {message}"):
        resolve(case, tmp_path)


def test_a_published_score_is_cited(case: Json) -> None:
    option(case, "h100")["quality"] = [{"measure": "ifeval", "score": 0.8336, "n": 541}]
    option(case, "today")["quality"] = [{"measure": "ifeval", "score": 0.5, "n": 541}]
    evidence = resolve(case).evidence
    assert "silybench" in evidence["/options/h100/quality"].source
    assert "/options/today/quality" not in evidence


def test_a_resolved_case_resolves_to_itself(case: Json) -> None:
    found = resolve(case)
    again = case_resolve(parse_case(json.loads(found.model_dump_json(by_alias=True))), folder=None)
    assert case_sha256(again) == case_sha256(found)


def test_prices_carry_what_the_catalog_knows_of_writes_tiers_and_hours(case: Json) -> None:
    """Cache writes of Anthropic, long-context prices of Google, and DeepSeek's dearer hours by the demand in them."""
    known = {}
    for provider, model in (
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
        ("deepseek", "deepseek-v4-pro"),
    ):
        today = {"id": "today", "kind": "api", "provider": provider, "model": model, "baseline": True}
        known[provider] = case_resolve(parse_case(case | {"options": [today]}), folder=None).options[0]
    prices = {provider: option.prices for provider, option in known.items() if option.kind == "api" and option.prices}
    assert prices["anthropic"].cache_write_usd_per_mtok == prices["anthropic"].input_usd_per_mtok * Decimal("1.25")
    assert [tier.over_input_tokens for tier in prices["google"].tiers] == [200_000]
    windows = [(window.from_hour_utc, window.to_hour_utc) for window in prices["deepseek"].windows]
    assert windows == [(1, 4), (6, 10)]
    assert all(window.price_factor > 1 for window in prices["deepseek"].windows)
