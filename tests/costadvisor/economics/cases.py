"""Cases for tests, as JSON gives them: plain defaults that add nothing, so that a test shows all it depends on."""

from typing import Any

from costadvisor.economics import Evaluation, evaluate, parse_case
from costadvisor.economics.evaluation import OptionResult

Json = dict[str, Any]
NO_PEOPLE: Json = {"fte": 0, "usd_per_month": "0", "setup_usd": "0"}
# No trend, so that a month says it all.
CERTAIN: Json = {
    "/drift/api_price_per_year": [0, 0, 0],
    "/drift/gpu_price_per_year": [0, 0, 0],
    "/workload/growth_per_month": [0, 0, 0],
}


def api(id_: str = "today", *, baseline: bool = True, prices: Json | None = None, **fields: Any) -> Json:
    priced = {"input_usd_per_mtok": "0.15", "cached_input_usd_per_mtok": "0.075", "output_usd_per_mtok": "0.60"}
    option = {"id": id_, "kind": "api", "provider": "openai", "model": "gpt-4o-mini", "baseline": baseline}
    return option | {"prices": priced | (prices or {})} | fields


def fleet(
    id_: str = "h100",
    *,
    usd_per_hour: str = "2.50",
    capacity: Json | None = None,
    scaling: Json | None = None,
    operations: Json | None = None,
    hardware: Json | None = None,
    **fields: Any,
) -> Json:
    """A bare fleet: no headroom, no spare, no people, unless said."""
    return {
        "id": id_,
        "kind": "self_host",
        "model": "Qwen3-8B",
        "hardware": {"gpu": "H100", "usd_per_hour": usd_per_hour} | (hardware or {}),
        "capacity": capacity or {"requests_per_s": 4, "low": 4, "high": 4},
        "scaling": {"headroom": 0, "spare_replicas": 0} | (scaling or {}),
        "operations": NO_PEOPLE | (operations or {}),
    } | fields


def case(*options: Json, workload: Json | None = None, **fields: Any) -> Json:
    traffic = {
        "requests_per_month": 1_000_000,
        "input_tokens": {"mean": 1000},
        "output_tokens": {"mean": 200},
        "hourly_shape": "flat",
    }
    return {
        "schema": "costadvisor.case/1",
        "as_of": "2026-11-01",
        "draws": 500,
        "drift": {"api_price_per_year": 0, "gpu_price_per_year": 0},
        "workload": traffic | (workload or {}),
        "options": list(options),
    } | fields


def answer(*options: Json, workload: Json | None = None, **fields: Any) -> Evaluation:
    return evaluate(parse_case(case(*options, workload=workload, **fields)))


def row(evaluation: Evaluation, id_: str) -> OptionResult:
    return next(option for option in evaluation.options if option.id == id_)


def month_usd(evaluation: Evaluation, id_: str) -> float:
    """Month 1's running cost at the case's own values."""
    spread = row(evaluation, id_).usd_per_month
    assert spread is not None
    return float(spread.point)
