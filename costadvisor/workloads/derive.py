"""A profile from the bill's months, from a trace, or from both. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import fmean
from typing import Any

from costadvisor.common.digits import six_digits
from costadvisor.common.refusal import Refusal
from costadvisor.spend.month import UsageMonth, following, reaches_over
from costadvisor.spend.overview import known_sum
from costadvisor.workloads import measures
from costadvisor.workloads.profile import Figure, Profile, assumed, measured
from costadvisor.workloads.traces import Trace

MONTHS_AVERAGED = 3
MONTHS_FOR_GROWTH = 6


@dataclass(frozen=True)
class MonthOfUse:
    """A whole month of one source with requests and tokens known; months of several sources are never mixed."""

    month: date
    requests: int
    input_tokens: int
    output: int
    cache_read: int | None


def months_of_use(usage: Iterable[UsageMonth]) -> list[MonthOfUse]:
    """Whole months of a provider's model, oldest first, from the source that has most of them."""
    groups: dict[tuple[str, date], list[UsageMonth]] = defaultdict(list)
    for row in usage:
        if row.has_tokens:
            groups[row.source, row.month].append(row)
    by_source: dict[str, list[MonthOfUse]] = defaultdict(list)
    for (source, month), rows in sorted(groups.items()):
        use = _month_of_use(month, rows)
        if use is not None:
            by_source[source].append(use)
    return max(by_source.values(), key=len, default=[])


def _month_of_use(month: date, rows: Sequence[UsageMonth]) -> MonthOfUse | None:
    requests, output = known_sum(row.requests for row in rows), known_sum(row.output for row in rows)
    tokens, cached = known_sum(row.input_tokens for row in rows), known_sum(row.cache_read for row in rows)
    if not (requests and output and tokens and reaches_over(month, rows)):
        return None
    return MonthOfUse(month, requests, tokens, output, cached)


def profile_from_months(months: Sequence[MonthOfUse], *, provider: str, model: str) -> Profile:
    """Averages of the last months, weighted by use. Raises Refusal without a single usable month."""
    if not months:
        raise Refusal(
            f"The bill has no whole month of {provider} {model} with requests and tokens. Describe the traffic by hand."
        )
    last = list(months)[-MONTHS_AVERAGED:]
    bill = bill_source(provider, model)
    source = f"{bill}{_span(last)}"
    requests = sum(month.requests for month in last)
    tokens = sum(month.input_tokens for month in last)
    figures: dict[str, Figure[Any]] = {
        "requests_per_month": measured(round(requests / len(last)), source),
        "input_tokens": measured(six_digits(tokens / requests), source),
        "output_tokens": measured(six_digits(sum(month.output for month in last) / requests), source),
    }
    return Profile.of(figures | _cached_share(last, bill) | _growth(months))


def bill_source(provider: str, model: str) -> str:
    """How the source of every figure begins that a provider's model in the bill gave."""
    return f"bill: {provider} {model}, "


def billed_line(profile: Profile, lines: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """Which of the bill's lines (provider, model) the profile was derived from; None where its sources name none."""
    sources = [getattr(profile, name).source for name in Profile.model_fields]
    return next((line for line in lines if any(said.startswith(bill_source(*line)) for said in sources)), None)


def hourly_shape_from_counts(counts: Sequence[tuple[datetime, int]], *, source: str) -> dict[str, Figure[Any]]:
    """The week's shape from hourly buckets, if they reach over a week."""
    if not counts:
        return {}
    start, end = counts[0][0], counts[-1][0] + timedelta(hours=1)
    if (end - start).total_seconds() < measures.WEEK_S:
        return {}
    return {"hourly_shape": measured(_week(measures.week_weights(counts, start, end)), source)}


def figures_from_trace(trace: Trace, *, file_name: str) -> dict[str, Figure[Any]]:
    """What a trace tells: lengths always; burstiness and the week's shape where it is long enough for them."""
    source = trace_source(trace, file_name)
    inputs = fmean(request.input_tokens for request in trace.requests)
    outputs = fmean(request.output_tokens for request in trace.requests)
    figures: dict[str, Figure[Any]] = {
        "input_tokens": measured(six_digits(inputs), source),
        "output_tokens": measured(six_digits(outputs), source),
    }
    burstiness, week = measures.burstiness(trace), measures.trace_week(trace)
    if burstiness is not None:
        figures["burstiness"] = measured(six_digits(burstiness), source)
    if week is not None:
        figures["hourly_shape"] = measured(_week(week), source)
    return figures


def profile_from_trace(trace: Trace, *, file_name: str, requests_per_month: float, volume_source: str) -> Profile:
    """A trace shows a moment, so the month's volume is given beside it."""
    volume: dict[str, Figure[Any]] = {"requests_per_month": assumed(requests_per_month, volume_source)}
    return Profile.of(volume | figures_from_trace(trace, file_name=file_name))


def trace_source(trace: Trace, file_name: str) -> str:
    return f"{trace.label} {file_name}: {len(trace.requests):,} requests in {_duration(trace.span_s)}"


def _cached_share(last: Sequence[MonthOfUse], bill: str) -> dict[str, Figure[Any]]:
    """Of the months that state their cached tokens; a month that does not is no month of 0."""
    stated = [(month, month.cache_read) for month in last if month.cache_read is not None]
    if not stated:
        return {}
    cached, tokens = sum(cached for _, cached in stated), sum(month.input_tokens for month, _ in stated)
    months = [month for month, _ in stated]
    named = _span(months) if len(months) == len(last) else ", ".join(f"{month.month:%b %Y}" for month in months)
    return {"cached_input_share": measured(six_digits(cached / tokens), f"{bill}{named}")}


def _growth(months: Sequence[MonthOfUse]) -> dict[str, Figure[Any]]:
    last = list(months)[-MONTHS_FOR_GROWTH:]
    consecutive = all(following(a.month) == b.month for a, b in pairwise(last))
    growth = measures.monthly_growth([month.requests for month in last])
    if len(last) < MONTHS_FOR_GROWTH or not consecutive or growth is None:
        return {}
    return {"growth_per_month": measured(six_digits(growth), f"bill: trend of requests, {_span(last)}")}


def _week(weights: Iterable[float]) -> tuple[float, ...]:
    return tuple(map(six_digits, weights))


def _span(months: Sequence[MonthOfUse]) -> str:
    first, last = months[0].month, months[-1].month
    return f"{first:%b %Y}" if first == last else f"{first:%b %Y} to {last:%b %Y}"


def _duration(seconds: float) -> str:
    if seconds < 2 * measures.HOUR_S:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 48 * measures.HOUR_S:
        return f"{seconds / measures.HOUR_S:.1f} hours"
    return f"{seconds / (24 * measures.HOUR_S):.1f} days"
