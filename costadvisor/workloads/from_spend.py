"""Profiles of parts of the bill: months for the volume, hours for the week, a log's requests for the rest."""

from collections.abc import Mapping
from typing import Any

from costadvisor.accounts.models import Organization
from costadvisor.common.digits import six_digits
from costadvisor.spend.overview import known_sum
from costadvisor.spend.part_use import part_hours
from costadvisor.spend.parts import Part, PartUse
from costadvisor.workloads.derive import (
    bill_source,
    figures_from_requests,
    hourly_shape_from_counts,
    months_of_use,
    no_month,
    profile_from_months,
    requests_source,
)
from costadvisor.workloads.measures import HOUR_S, HOURS_IN_MONTH, lengths_of
from costadvisor.workloads.merge import NamedProfile
from costadvisor.workloads.profile import Figure, Profile, measured
from costadvisor.workloads.requests import Requests

COUNTED_BY_THE_BILL = ("input_tokens", "output_tokens", "hourly_shape")
LEAST_REQUESTS = 100
LEAST_DAYS = 1


def part_profile(*, organization: Organization, part: Part, uses: Mapping[Part, PartUse]) -> NamedProfile:
    """Raises Refusal without a whole month, or a day's log at least.

    The means of lengths stay the bill's, which counts every request; a log adds their distribution.
    """
    use = uses.get(part, PartUse([], frozenset()))
    months = months_of_use(use)
    if not months:
        return _of_log_alone(organization, part, use)
    profile, source = profile_from_months(months, part=part), months[-1].source
    profile = profile.with_figures(_week(organization, part, source))
    log, _ = _longest_log(organization, part, use)
    if log is None:
        return NamedProfile(part.name, profile, None)
    said = requests_source(log, f"log of {part.words}")
    told = figures_from_requests(log, source=said)
    new = {name: figure for name, figure in told.items() if name not in COUNTED_BY_THE_BILL}
    return NamedProfile(part.name, profile.with_figures(new), lengths_of(log, said))


def _of_log_alone(organization: Organization, part: Part, use: PartUse) -> NamedProfile:
    """A log of some days: its rate holds for the month."""
    log, source = _longest_log(organization, part, use)
    if log is None or log.span_s < LEAST_DAYS * 24 * HOUR_S:
        raise no_month(part)
    said = requests_source(log, f"log of {part.words}")
    figures = figures_from_requests(log, source=said)
    volume = six_digits(len(log) / log.span_s * HOURS_IN_MONTH * HOUR_S)
    figures["requests_per_month"] = measured(volume, f"{said}, at this rate for 730 hours")
    sums = [month for month in use.months if month.source == source]
    cached, tokens = known_sum(row.cache_read for row in sums), known_sum(row.input_tokens for row in sums)
    if cached is not None and tokens:
        figures["cached_input_share"] = measured(six_digits(cached / tokens), said)
    return NamedProfile(part.name, Profile.of(figures | _week(organization, part, source)), lengths_of(log, said))


def _longest_log(organization: Organization, part: Part, use: PartUse) -> tuple[Requests | None, str]:
    """The log with the most requests of the part, and its source: a gateway's may stand beside the provider's bill."""
    sources = sorted({month.source for month in use.months})
    logs = [(part_log(organization=organization, part=part, source=source), source) for source in sources]
    return max(logs, key=lambda each: 0 if each[0] is None else len(each[0]), default=(None, ""))


def _week(organization: Organization, part: Part, source: str) -> dict[str, Figure[Any]]:
    hours = part_hours(organization=organization, part=part, source=source)
    return hourly_shape_from_counts(hours, source=f"{bill_source(part)}by the hour")


def part_log(*, organization: Organization, part: Part, source: str) -> Requests | None:
    """The part's requests, where a log has enough of them."""
    # polars takes a tenth of a second and 60 MB: only a process that derives pays for it.
    from costadvisor.spend.logs import part_requests

    frame = part_requests(organization=organization, part=part, source=source)
    if frame.height < LEAST_REQUESTS:
        return None
    ttft = frame["ttft_ms"].drop_nulls()
    timed = frame.filter(frame["ttft_ms"].is_not_null() & frame["total_ms"].is_not_null() & (frame["output"] > 1))
    tpot = (timed["total_ms"] - timed["ttft_ms"]) / (timed["output"] - 1)
    return Requests(
        label="bill:",
        arrival_s=frame["arrival"].dt.timestamp("us").to_numpy() / 1e6,
        input_tokens=frame["input"].to_numpy(),
        output_tokens=frame["output"].to_numpy(),
        has_clock=True,
        ttft_ms=ttft.to_numpy().astype(float),
        tpot_ms=tpot.filter(tpot >= 0).to_numpy(),
    )
