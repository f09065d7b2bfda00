"""A profile from the bill's months, from a log or trace of requests, or from both. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from costadvisor.common.digits import six_digits
from costadvisor.common.refusal import Refusal
from costadvisor.spend.month import UsageMonth, following
from costadvisor.spend.overview import known_sum
from costadvisor.spend.parts import Part, PartUse
from costadvisor.workloads import measures
from costadvisor.workloads.profile import Figure, Profile, measured, stated
from costadvisor.workloads.requests import Requests

MONTHS_AVERAGED = 3
MONTHS_FOR_GROWTH = 6
DAYS_TO_BEGIN = 7
LEAST_TIMED = 59  # a p95 of fewer is their largest


@dataclass(frozen=True)
class MonthOfUse:
    """A whole month of one source with requests and tokens known; months of several sources are never mixed."""

    month: date
    source: str
    requests: int
    input_tokens: int
    output: int
    cache_read: int | None


def months_of_use(use: PartUse) -> list[MonthOfUse]:
    """Whole months of a part of the bill, oldest first, from the source that has most of them."""
    groups: dict[tuple[str, date], list[UsageMonth]] = defaultdict(list)
    for row in use.months:
        groups[row.source, row.month].append(row)
    by_source: dict[str, list[MonthOfUse]] = defaultdict(list)
    for (source, month), rows in sorted(groups.items()):
        whole = (source, month) in use.whole and not _begins_late(month, source, use.months)
        known = _month_of_use(month, source, rows) if whole else None
        if known is not None:
            by_source[source].append(known)
    return max(by_source.values(), key=len, default=[])


def _begins_late(month: date, source: str, months: Sequence[UsageMonth]) -> bool:
    """Whether the part itself was first seen after the month's first week: then it is no month of it."""
    began = min(row.first_start for row in months if row.source == source)
    return (began.year, began.month) == (month.year, month.month) and began.day > DAYS_TO_BEGIN


def _month_of_use(month: date, source: str, rows: Sequence[UsageMonth]) -> MonthOfUse | None:
    requests, output = known_sum(row.requests for row in rows), known_sum(row.output for row in rows)
    tokens, cached = known_sum(row.input_tokens for row in rows), known_sum(row.cache_read for row in rows)
    if not (requests and output and tokens):
        return None
    return MonthOfUse(month, source, requests, tokens, output, cached)


def profile_from_months(months: Sequence[MonthOfUse], *, part: Part) -> Profile:
    """Averages of the last months, weighted by use. Raises Refusal without a single usable month."""
    if not months:
        raise no_month(part)
    last = list(months)[-MONTHS_AVERAGED:]
    bill = bill_source(part)
    source = f"{bill}{_span(last)}"
    requests = sum(month.requests for month in last)
    tokens = sum(month.input_tokens for month in last)
    figures: dict[str, Figure[Any]] = {
        "requests_per_month": measured(round(requests / len(last)), source),
        "input_tokens": measured(six_digits(tokens / requests), source),
        "output_tokens": measured(six_digits(sum(month.output for month in last) / requests), source),
    }
    return Profile.of(figures | _cached_share(last, bill) | _growth(months))


def no_month(part: Part) -> Refusal:
    return Refusal(
        f"The bill has no whole month of {part.words} with requests and tokens, nor a log of a day. Describe the"
        " traffic by hand.",
        field="parts",
    )


def bill_source(part: Part) -> str:
    """How the source of every figure begins that a part of the bill gave."""
    return f"bill: {part.words}, "


def billed_line(profile: Profile, lines: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """Which of the bill's lines (provider, model) the profile was derived from; None where its sources name none."""
    sources = [getattr(profile, name).source for name in Profile.model_fields]
    return next((line for line in lines if any(_names(said, line) for said in sources)), None)


def _names(source: str, line: tuple[str, str]) -> bool:
    """Of the whole line, or of a project or key of it."""
    named = f"bill: {line[0]} {line[1]}"
    return source.startswith((f"{named}, ", f"{named} ("))


def hourly_shape_from_counts(
    counts: Sequence[tuple[datetime, float]], *, source: str, bucket: timedelta = timedelta(hours=1)
) -> dict[str, Figure[Any]]:
    """The week's shape from buckets of an hour or less, if they reach over a week."""
    if not counts:
        return {}
    start, end = counts[0][0], counts[-1][0] + bucket
    if (end - start).total_seconds() < measures.WEEK_S or not any(count for _, count in counts):
        return {}
    return {"hourly_shape": measured(_week(measures.week_weights(counts, start, end)), source)}


def figures_from_requests(requests: Requests, *, source: str) -> dict[str, Figure[Any]]:
    """Lengths always; how arrivals clump, the week's shape, shared prefixes and latency where requests tell."""
    found: dict[str, Any] = {
        "input_tokens": float(requests.input_tokens.mean()),
        "output_tokens": float(requests.output_tokens.mean()),
    }
    found["burstiness"] = measures.burstiness(requests)
    found["prefix_hit_share"] = requests.prefix_hit_share
    for name, timed in (("today_ttft_p95_ms", requests.ttft_ms), ("today_tpot_p95_ms", requests.tpot_ms)):
        if timed is not None and len(timed) >= LEAST_TIMED:
            found[name] = measures.percentile(timed, 95) or None
    week = measures.requests_week(requests)
    figures = {name: measured(six_digits(value), source) for name, value in found.items() if value is not None}
    return figures if week is None else figures | {"hourly_shape": measured(_week(week), source)}


def profile_from_trace(trace: Requests, *, source: str, requests_per_month: float, volume_source: str) -> Profile:
    """A trace shows a moment, so the month's volume is given beside it."""
    volume: dict[str, Figure[Any]] = {"requests_per_month": stated(requests_per_month, volume_source)}
    return Profile.of(volume | figures_from_requests(trace, source=source))


def requests_source(requests: Requests, name: str) -> str:
    return f"{requests.label} {name}: {len(requests):,} requests in {duration(requests.span_s)}"


def duration(seconds: float) -> str:
    if seconds < 2 * measures.HOUR_S:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 48 * measures.HOUR_S:
        return f"{seconds / measures.HOUR_S:.1f} hours"
    return f"{seconds / (24 * measures.HOUR_S):.1f} days"


def _cached_share(last: Sequence[MonthOfUse], bill: str) -> dict[str, Figure[Any]]:
    """Of the months that state their cached tokens; a month that does not is no month of 0."""
    said = [(month, month.cache_read) for month in last if month.cache_read is not None]
    if not said:
        return {}
    cached, tokens = sum(cached for _, cached in said), sum(month.input_tokens for month, _ in said)
    months = [month for month, _ in said]
    named = _span(months) if len(months) == len(last) else ", ".join(f"{month.month:%b %Y}" for month in months)
    return {"cached_input_share": measured(six_digits(cached / tokens), f"{bill}{named}")}


def _growth(months: Sequence[MonthOfUse]) -> dict[str, Figure[Any]]:
    last = list(months)[-MONTHS_FOR_GROWTH:]
    consecutive = all(following(a.month) == b.month for a, b in pairwise(last))
    growth = measures.monthly_growth([month.requests for month in last])
    if len(last) < MONTHS_FOR_GROWTH or not consecutive or growth is None or not -1 < growth.value <= 1:
        return {}
    bounds = [None if end is None else six_digits(end) for end in (growth.low, growth.high)]
    figure = measured(six_digits(growth.value), f"bill: trend of requests, {_span(last)}")
    return {"growth_per_month": figure.model_copy(update={"low": bounds[0], "high": bounds[1]})}


def _week(weights: Iterable[float]) -> tuple[float, ...]:
    return tuple(map(six_digits, weights))


def _span(months: Sequence[MonthOfUse]) -> str:
    first, last = months[0].month, months[-1].month
    return f"{first:%b %Y}" if first == last else f"{first:%b %Y} to {last:%b %Y}"
