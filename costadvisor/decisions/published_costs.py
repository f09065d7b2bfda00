"""What is published of costs and rates that a case takes for granted, with the source: shown beside the defaults in the
forms, and cited in the evidence of every answer that rests on them."""

from collections.abc import Mapping, Sequence
from typing import Any

from costadvisor.catalog.facts import OpexFact
from costadvisor.catalog.snapshot import Catalog, snapshot
from costadvisor.economics.figures import plain

Json = dict[str, Any]

# By the path inside an option: the category of the catalog's facts, and how the items of each range begin.
_FACTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "operations/fte": ("people", ("Share of an engineer",)),
    "operations/usd_per_fte_year": ("people", ("Senior infrastructure engineer",)),
    "operations/usd_per_month": ("operations", ("Monitoring",)),
    "scaling/cold_start_s": ("cold_start", ("",)),
    "hardware/spot/interruptions_per_month": ("spot", ("Interruption",)),
    "hardware/purchase_usd": ("purchase", ("One H100", "Server with eight H100")),
    "hardware/power_kw": ("power", ("All-in power of one",)),
    "hardware/usd_per_kwh": ("power", ("Electricity",)),
    "hardware/colocation_usd_per_month": ("colocation", ("Asking rate",)),
}
_JUDGED = {
    "operations/setup_usd": "2 to 4 engineer-weeks for a first deployment, and as much for tests: our judgement",
    "scaling/headroom": "what a calibration's own load does not have, such as a slow node: our judgement",
    "scaling/spare_replicas": "one machine may fail, and without a spare that is an outage: our judgement",
    "scaling/idle_timeout_s": "our judgement",
    "hardware/spot/unavailable_share": "our judgement",
    "hardware/useful_life_months": "our choice; the longest an owner should count on without a market price",
    "hardware/residual_share": "nobody knows what such a GPU fetches then",
}
# What every own fleet's cost rests on, and what an owned one's does beside.
_CITED = ("operations/fte", "operations/usd_per_fte_year", "operations/usd_per_month", "operations/setup_usd")
_CITED_IF_OWNED = (
    "hardware/purchase_usd",
    "hardware/power_kw",
    "hardware/usd_per_kwh",
    "hardware/colocation_usd_per_month",
)


def published_range(path: str, catalog: Catalog | None = None) -> str:
    """`published: 0.1 to 0.2 FTE (agoradigest.com, 2026-06-21)`, or our judgement; empty where nothing is said."""
    if path in _JUDGED:
        return _JUDGED[path]
    ranges = _published(path, catalog or snapshot())
    told = [f"{name}: {_told(facts)}" if len(ranges) > 1 else _told(facts) for name, facts in ranges.items()]
    return f"published: {'; '.join(told)}" if told else ""


def cite_costs(option: Json, path: str, evidence: Json, catalog: Catalog) -> None:
    """Of a self-hosted option: each cost that nobody vouches for, whether it is our default, and what is published."""
    owned = option["hardware"].get("plan") == "owned"
    for field in (*_CITED, *(_CITED_IF_OWNED if owned else ())):
        pointer = f"{path}/{field}"
        if any(f"{pointer}/".startswith(f"{known}/") for known in evidence):
            continue
        part, key = field.split("/")
        whose = "given without a source" if key in option.get(part, {}) else "our default"
        said = {"grade": "E", "basis": "assumed", "source": f"{whose}; {published_range(field, catalog)}"}
        as_of = max((fact.as_of for facts in _published(field, catalog).values() for fact in facts), default=None)
        evidence[pointer] = said if as_of is None else said | {"as_of": as_of.isoformat()}


def _published(path: str, catalog: Catalog) -> dict[str, list[OpexFact]]:
    """By the name of the range."""
    category, beginnings = _FACTS.get(path, ("", ()))
    facts = [fact for fact in catalog.opex_facts if fact.category == category]
    found = {start: [fact for fact in facts if fact.item.startswith(start)] for start in beginnings}
    return {start: known for start, known in found.items() if known}


def _told(facts: Sequence[OpexFact]) -> str:
    low, high = min(fact.low for fact in facts), max(fact.high for fact in facts)
    spread = plain(low) if low == high else f"{plain(low)} to {plain(high)}"
    newest = max(facts, key=lambda fact: fact.as_of)
    sources = dict.fromkeys(fact.source.split(",")[0] for fact in facts)
    return f"{spread} {newest.unit} ({' and '.join(sources)}, {newest.as_of})"
