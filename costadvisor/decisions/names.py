"""What people call an option, and an input of a case."""

from collections.abc import Mapping
from decimal import Decimal

from costadvisor.common.money import MINUS, money_in_prose
from costadvisor.economics.case import Case
from costadvisor.economics.options import ApiOption, Option, ProvisionedOption, SelfHostOption

KINDS = {
    "api": "API",
    "provisioned": "provisioned API",
    "self_host": "self-hosted",
    "hybrid": "own base, API overflow",
    "routed": "small and large model",
}
# By the end of a pointer.
INPUTS = {
    "/drift/api_price_per_year": "API price, change a year",
    "/drift/gpu_price_per_year": "GPU price, change a year",
    "/workload/requests_per_month": "requests a month",
    "/workload/input_tokens/mean": "input tokens a request",
    "/workload/output_tokens/mean": "output tokens a request",
    "/workload/growth_per_month": "growth a month",
    "/workload/cached_input_share": "cached share of input",
    "/workload/batchable_share": "share that can wait",
    "/workload/hourly_shape/peak_to_mean": "peak hour over mean hour",
    "/workload/hourly_shape": "peak hour over mean hour",
    "/hardware/usd_per_hour": "rent an hour",
    "/capacity/requests_per_s": "requests/s of a replica",
    "/capacity/tokens_per_s": "tokens/s of a replica",
    "/operations/fte": "people (FTE)",
    "/operations/setup_usd": "setup",
}

SHARES = ("price_per_year", "growth_per_month", "_share", "batch_discount")


def names_by_id(case: Case) -> dict[str, str]:
    """Each option's name; with the id added where two options would be called the same."""
    names = {option.id: option_name(option) for option in case.options}
    called = list(names.values())
    return {id_: f"{name} ({id_})" if called.count(name) > 1 else name for id_, name in names.items()}


def option_name(option: Option) -> str:
    """`gpt-4.1-mini at openai`, `Qwen3-8B on 2 x H100`, or the id where an option is made of others."""
    if isinstance(option, ApiOption | ProvisionedOption):
        return f"{_short(option.model)} at {option.provider}"
    if isinstance(option, SelfHostOption):
        count = option.hardware.gpus_per_replica
        return f"{_short(option.model)} on {f'{count} x ' if count > 1 else ''}{option.hardware.gpu}"
    return option.id


def kind_name(option: Option) -> str:
    if isinstance(option, ApiOption) and option.open_weights:
        return "host of an open model"
    return KINDS[option.kind]


def input_name(pointer: str, names: Mapping[str, str]) -> str:
    """`rent an hour, Qwen3-8B on H100`."""
    known = next((name for tail, name in INPUTS.items() if pointer.endswith(tail)), None)
    name = known or pointer.rsplit("/", 1)[-1].replace("_", " ")
    id_ = pointer.removeprefix("/options/").split("/", 1)[0]
    return f"{name}, {names[id_]}" if id_ in names else name


def input_text(pointer: str, value: float) -> str:
    """An input's value as people read it: `-14 %`, `$1.77`, `11.5M`, `2.31`."""
    if pointer.endswith(SHARES):
        return f"{round(value * 100, 1) + 0:g} %".replace("-", MINUS)
    if "usd" in pointer:
        return money_in_prose(Decimal(repr(value)), "USD")
    return f"{value / 1e6:.3g}M" if value >= 1e6 else f"{value:.3g}"


def _short(model: str) -> str:
    return model.rsplit("/", 1)[-1]
