"""What is published of costs and rates that a case takes for granted: shown beside its defaults, with the source."""

from collections.abc import Sequence

from costadvisor.catalog.facts import OpexFact
from costadvisor.catalog.snapshot import snapshot
from costadvisor.economics.figures import plain

# By the path inside an option: the category of the catalog's facts, and how their items begin.
_FACTS = {
    "operations/fte": ("people", "Share of an engineer"),
    "operations/usd_per_fte_year": ("people", "Senior infrastructure engineer"),
    "operations/usd_per_month": ("operations", "Monitoring"),
    "scaling/cold_start_s": ("cold_start", ""),
    "hardware/spot/interruptions_per_month": ("spot", "Interruption"),
    "hardware/power_kw": ("power", "All-in power of one"),
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


def published_range(path: str) -> str:
    """`published: 0.1 to 0.2 FTE (agoradigest.com, 2026-06-21)`, or our judgement; empty where nothing is said."""
    if path in _JUDGED:
        return _JUDGED[path]
    category, beginning = _FACTS.get(path, ("", ""))
    found = [fact for fact in snapshot().opex_facts if fact.category == category and fact.item.startswith(beginning)]
    return _told(found) if found and category else ""


def _told(facts: Sequence[OpexFact]) -> str:
    low, high = min(fact.low for fact in facts), max(fact.high for fact in facts)
    spread = plain(low) if low == high else f"{plain(low)} to {plain(high)}"
    newest = max(facts, key=lambda fact: fact.as_of)
    return f"published: {spread} {newest.unit} ({newest.source.split(',')[0]}, {newest.as_of})"
