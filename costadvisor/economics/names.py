"""What people call an option, and an input of a case: no id and no pointer stands in a sentence."""

from collections.abc import Mapping
from decimal import Decimal

from costadvisor.common.money import MINUS, money_in_prose
from costadvisor.economics.case import Case
from costadvisor.economics.options import (
    ApiOption,
    HybridOption,
    Option,
    Plan,
    ProvisionedOption,
    RoutedOption,
    SelfHostOption,
)

KINDS = {
    "api": "API",
    "provisioned": "provisioned API",
    "self_host": "self-hosted",
    "hybrid": "own base, API overflow",
    "routed": "small and large model",
}
# What is not said of a GPU is that it is rented by the hour.
PLANS: dict[Plan, str] = {
    "on_demand": "",
    "reserved_1y": "reserved ",
    "reserved_3y": "reserved ",
    "spot": "spot ",
    "serverless": "serverless ",
    "owned": "owned ",
}
FIRST_TOKEN, OUTPUT_TOKEN = "95th percentile of the time to first token", "95th percentile of the time per output token"
PRIVACY = {
    "no_training": "no training on our data",
    "zero_retention": "zero retention",
    "in_region": "our region",
    "own_vpc": "our own cloud account",
    "on_prem": "our own premises",
}
# By the end of a pointer: of what an evaluation's evidence, its sensitivity and the assumptions log point at.
INPUTS = {
    "/as_of": "prices as of",
    "/horizon_months": "months looked ahead",
    "/discount_rate_per_year": "discount rate a year",
    "/hours_per_month": "hours in a month",
    "/drift/api_price_per_year": "API price change a year",
    "/drift/gpu_price_per_year": "GPU price change a year",
    "/workload/requests_per_month": "requests a month",
    "/workload/input_tokens/mean": "input tokens a request",
    "/workload/input_tokens/histogram": "spread of input tokens",
    "/workload/input_tokens": "input tokens a request",
    "/workload/output_tokens/mean": "output tokens a request",
    "/workload/output_tokens/histogram": "spread of output tokens",
    "/workload/output_tokens": "output tokens a request",
    "/workload/growth_per_month": "growth a month",
    "/workload/cached_input_share": "cached share of input",
    "/workload/batchable_share": "share that can wait",
    "/workload/hourly_shape/peak_to_mean": "peak hour over mean hour",
    "/workload/hourly_shape": "peak hour over mean hour",
    "/workload/burstiness": "burstiness of arrivals (1 is Poisson)",
    "/slo/ttft_p95_ms": "longest time to first token, p95, ms",
    "/slo/tpot_p95_ms": "longest time per output token, p95, ms",
    "/min_quality/margin": "quality margin",
    "/constraints/max_commitment_months": "longest commitment, months",
    "/prices/input_usd_per_mtok": "input price per M tokens",
    "/prices/cached_input_usd_per_mtok": "cached input price per M tokens",
    "/prices/output_usd_per_mtok": "output price per M tokens",
    "/prices/usd_per_request": "price per request",
    "/reconciliation_factor": "billed over list price (k)",
    "/score": "quality score",
    "/n": "samples behind the quality score",
    "/capacity": "capacity of a replica",
    "/capacity/requests_per_s": "requests/s of a replica",
    "/capacity/tokens_per_s": "tokens/s of a replica",
    "/token_ratio": "tokens for the same text",
    "/token_ratio/input": "input tokens for the same text",
    "/token_ratio/output": "output tokens for the same answer",
    "/prefix_hit_share": "input found in the prefix cache",
    "/hardware/usd_per_hour": "rent an hour",
    "/hardware/gpus_per_replica": "GPUs a replica",
    "/hardware/commitment_months": "commitment, months",
    "/hardware/plan": "rental plan",
    "/hardware/purchase_usd": "purchase",
    "/hardware/useful_life_months": "useful life, months",
    "/hardware/residual_share": "residual value",
    "/hardware/power_kw": "power, kW",
    "/hardware/usd_per_kwh": "price of a kWh",
    "/hardware/pue": "power usage effectiveness",
    "/hardware/colocation_usd_per_month": "colocation a month",
    "/operations": "people and tools",
    "/operations/fte": "people (FTE)",
    "/operations/usd_per_fte_year": "cost of an FTE a year",
    "/operations/usd_per_month": "tools and services a month",
    "/operations/overhead_share": "overhead on GPU rent",
    "/operations/setup_usd": "setup",
    "/scaling/policy": "size of the fleet",
    "/usd_per_unit_hour": "price of a unit an hour",
    "/requests_per_s_per_unit": "requests/s of a unit",
    "/small_share": "share for the small model",
    "/scaling/headroom": "headroom",
    "/scaling/min_replicas": "fewest replicas",
    "/scaling/max_replicas": "most replicas",
    "/scaling/cold_start_s": "seconds until a new replica serves",
    "/scaling/idle_timeout_s": "seconds idle until a replica stops",
    "/scaling/keep_warm": "replicas kept warm",
}
SHARES = (
    "price_per_year", "growth_per_month", "_share", "batch_discount", "discount_rate_per_year", "/margin", "/score",
    "/headroom",
)  # fmt: skip


def names_by_id(case: Case) -> dict[str, str]:
    """Each option's name; with the id added where two options would be called the same."""
    names = {option.id: option_name(option) for option in case.options}
    called = list(names.values())
    told = {id_: f"{name} ({id_})" if called.count(name) > 1 else name for id_, name in names.items()}
    return told | {option.id: mixed for option in case.options if (mixed := _mixture_name(option, told))}


def _mixture_name(option: Option, names: Mapping[str, str]) -> str:
    """`a base of Qwen3-8B on H100 with gpt-4o-mini at openai above it`; empty for what is made of nothing else."""
    if isinstance(option, HybridOption):
        return f"a base of {names[option.base]} with {names[option.overflow]} above it"
    if isinstance(option, RoutedOption):
        share = f"{float(option.small_share) * 100:.3g} %"
        return f"{share} of requests to {names[option.small]} and the rest to {names[option.large]}"
    return ""


def option_name(option: Option) -> str:
    """`gpt-4.1-mini at openai`, `Qwen3-8B on 2 x owned H100`, or the id where an option is made of others."""
    if isinstance(option, ApiOption):
        return f"{_short(option.model)} at {option.provider}"
    if isinstance(option, ProvisionedOption):
        return f"{_short(option.model)} on units of {option.provider}"
    if isinstance(option, SelfHostOption):
        count, plan = option.hardware.gpus_per_replica, PLANS[option.hardware.plan]
        return f"{_short(option.model)} on {f'{count} x ' if count > 1 else ''}{plan}{option.hardware.gpu}"
    return option.id


def kind_name(option: Option) -> str:
    if isinstance(option, ApiOption) and option.open_weights:
        return "host of an open model"
    return KINDS[option.kind]


def input_name(pointer: str, names: Mapping[str, str]) -> str:
    """`rent an hour for Qwen3-8B on H100`."""
    id_ = option_id(pointer)
    return f"{input_word(pointer)} for {names[id_]}" if id_ in names else input_word(pointer)


def input_word(pointer: str) -> str:
    """`rent an hour`, whichever option's it is."""
    known = next((name for tail, name in INPUTS.items() if pointer.endswith(tail)), None)
    return known or pointer.rsplit("/", 1)[-1].replace("_", " ")


def option_id(pointer: str) -> str:
    """Of the option that the pointer points into; empty for the rest of a case."""
    return pointer.removeprefix("/options/").split("/", 1)[0] if pointer.startswith("/options/") else ""


def input_text(pointer: str, value: float) -> str:
    """An input's value as people read it: `-14 %`, `$1.77`, `11.5M`, `1,155`, `2.31`."""
    if pointer.endswith(SHARES):
        return f"{round(value * 100, 1) + 0:g} %".replace("-", MINUS)
    if "usd" in pointer:
        return money_in_prose(Decimal(repr(value)), "USD")
    if value >= 1e6:
        return f"{value / 1e6:.3g}M"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _short(model: str) -> str:
    return model.rsplit("/", 1)[-1]
