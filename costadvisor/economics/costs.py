"""What a month costs, line by line. The same equations serve the exact point and the drawn samples (see `values`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from costadvisor.economics.case import WEEK_HOURS, Case, Lengths
from costadvisor.economics.demand import DAY_HOURS, SECONDS_PER_HOUR, week_weights
from costadvisor.economics.errors import CaseError
from costadvisor.economics.figures import exact
from costadvisor.economics.options import ApiOption, Prices, PriceWindow, SelfHostOption
from costadvisor.economics.values import Values

TOKENS_PER_MTOK = 1_000_000
MONTHS_PER_YEAR = 12
# Beyond any API bill or fleet: a slip of units.
MOST_USD = 10**12


@dataclass(frozen=True)
class Band:
    """Requests priced alike: the whole workload, or those whose input falls into one long-context tier."""

    request_share: Decimal
    input_share: Decimal
    input_usd_per_mtok: Any
    cached_usd_per_mtok: Any
    output_usd_per_mtok: Any


@dataclass(frozen=True)
class ApiMonth:
    """USD of a month on an API; `batch_saving` and `reconciliation` may be negative."""

    uncached_input: Any
    cached_input: Any
    cache_writes: Any
    output: Any
    time_of_day: Any
    batch_saving: Any
    requests: Any
    reconciliation: Any

    @property
    def total(self) -> Any:
        tokens = self.uncached_input + self.cached_input + self.cache_writes + self.output + self.time_of_day
        return tokens + self.batch_saving + self.requests + self.reconciliation


@dataclass(frozen=True)
class FleetMonth:
    """USD of a month on own replicas. `amortization` is for display and break-even; cash is paid when it is bought."""

    rent: Any
    cold_starts: Any
    amortization: Any
    power: Any
    colocation: Any
    overhead: Any
    people: Any
    tools: Any

    @property
    def gpus(self) -> Any:
        """What the replicas cost, with overhead."""
        standing = self.amortization + self.power + self.colocation
        return self.rent + self.cold_starts + standing + self.overhead

    @property
    def total(self) -> Any:
        return self.gpus + self.people + self.tools


def require_plausible(option_id: str, usd: Decimal | float) -> None:
    """Raises CaseError for an option with a row or a total beyond any bill."""
    if not -MOST_USD <= usd <= MOST_USD:
        remedy = "check prices, units, growth, drift and their bounds"
        raise CaseError(f"/options/{option_id}", f"comes to ${usd:.3g}, above $10^12", remedy)


def resolved_prices(option: ApiOption) -> Prices:
    """The option's prices; CaseError where they are still to be looked up."""
    if option.prices is None:
        path = f"/options/{option.id}/prices"
        raise CaseError(path, "is missing", "give the prices, or resolve them from the catalog")
    return option.prices


def api_month(case: Case, option: ApiOption, values: Values) -> ApiMonth:
    """`k [(uncached p_in + cached p_cached + out p_out)(1 - batchable discount) + requests p_request]`.

    The cache discount touches cached input only, the batch discount only what may wait.
    """
    path = f"/options/{option.id}"
    requests = values("/workload/requests_per_month")
    inputs = requests * values("/workload/input_tokens/mean") / TOKENS_PER_MTOK
    outputs = requests * values("/workload/output_tokens/mean") / TOKENS_PER_MTOK
    cached = values("/workload/cached_input_share")
    bands = _bands(case, option, values)

    def over_bands(usd: Callable[[Band], Any]) -> Any:
        return sum((usd(band) for band in bands[1:]), start=usd(bands[0]))

    written = values("/workload/cache_write_input_share")
    per_input, fresh = write_factor(option, values), 1 - cached - written
    input_usd = over_bands(lambda b: inputs * values.constant(b.input_share) * b.input_usd_per_mtok)
    fresh_usd, written_usd = input_usd * fresh, input_usd * written * per_input
    cached_usd = over_bands(lambda b: inputs * values.constant(b.input_share) * cached * b.cached_usd_per_mtok)
    output_usd = over_bands(lambda b: outputs * values.constant(b.request_share) * b.output_usd_per_mtok)
    discount = values("/workload/batchable_share") * values(f"{path}/prices/batch_discount")
    tokens_usd = fresh_usd + cached_usd + written_usd + output_usd
    time_of_day = tokens_usd * values.constant(time_factor(case, resolved_prices(option).windows) - 1)
    batch_saving = -(tokens_usd + time_of_day) * discount
    requests_usd = requests * values(f"{path}/prices/usd_per_request")
    listed = tokens_usd + time_of_day + batch_saving + requests_usd
    reconciliation = listed * (values(f"{path}/reconciliation_factor") - 1)
    return ApiMonth(
        fresh_usd, cached_usd, written_usd, output_usd, time_of_day, batch_saving, requests_usd, reconciliation
    )


def write_factor(option: ApiOption, values: Values) -> Any:
    """What writing input to the cache costs, over reading it fresh; the same factor in every long-context tier."""
    prices = resolved_prices(option)
    if prices.cache_write_usd_per_mtok is None or not prices.input_usd_per_mtok:
        return values.constant(Decimal(1))
    return values.constant(prices.cache_write_usd_per_mtok / prices.input_usd_per_mtok)


def time_factor(case: Case, windows: Sequence[PriceWindow]) -> Decimal:
    """What a token costs in the mean, over the list's price: each hour's requests at the factor of that hour."""
    if not windows:
        return Decimal(1)
    factors = np.array([_factor_at(hour % DAY_HOURS, windows) for hour in range(WEEK_HOURS)])
    return exact(float((week_weights(case.workload.hourly_shape) * factors).mean()))


def _factor_at(hour: int, windows: Sequence[PriceWindow]) -> float:
    for window in windows:
        start, end = window.from_hour_utc, window.to_hour_utc
        if start <= hour < end or (end <= start and not end <= hour < start):
            return float(window.price_factor)
    return 1.0


def fleet_month(option: SelfHostOption, values: Values, replica_hours: Any, cold_start_hours: Any) -> FleetMonth:
    """Replica-hours times what an hour costs, idle hours paid; people and tools beside. Setup is not a month's cost.

    Owned replicas are paid around the clock: so many replica-hours are so many whole months of a replica.
    """
    path = f"/options/{option.id}"
    hourly = usd_per_hour(option, values)
    rent, cold_starts = replica_hours * hourly, cold_start_hours * hourly
    replicas = replica_hours / values("/hours_per_month")
    written_off = values(f"{path}/hardware/purchase_usd") * (1 - values(f"{path}/hardware/residual_share"))
    amortization = replicas * written_off / option.hardware.useful_life_months
    power = replica_hours * values(f"{path}/hardware/power_kw") * values(f"{path}/hardware/pue")
    power = power * values(f"{path}/hardware/usd_per_kwh")
    colocation = replicas * values(f"{path}/hardware/colocation_usd_per_month")
    gpus = rent + cold_starts + amortization + power + colocation
    return FleetMonth(
        rent=rent,
        cold_starts=cold_starts,
        amortization=amortization,
        power=power,
        colocation=colocation,
        overhead=gpus * values(f"{path}/operations/overhead_share"),
        people=values(f"{path}/operations/fte") * values(f"{path}/operations/usd_per_fte_year") / MONTHS_PER_YEAR,
        tools=values(f"{path}/operations/usd_per_month"),
    )


def usd_per_hour(option: SelfHostOption, values: Values) -> Any:
    """Of a replica: its rent, or the running cost of an owned one beside power and colocation.

    On spot, while no such machine is to be had the fallback is paid, and after each interruption a start.
    """
    path, spot = f"/options/{option.id}", option.hardware.spot
    listed = values(f"{path}/hardware/usd_per_hour")
    if spot is None:
        return listed
    unavailable = values.constant(spot.unavailable_share)
    paid = listed * (1 - unavailable) + values.constant(spot.fallback_usd_per_hour) * unavailable
    start_hours = values(f"{path}/scaling/cold_start_s") / SECONDS_PER_HOUR
    return paid * (1 + values.constant(spot.interruptions_per_month) * start_hours / values("/hours_per_month"))


def _bands(case: Case, option: ApiOption, values: Values) -> Sequence[Band]:
    path, prices = f"/options/{option.id}/prices", resolved_prices(option)
    starts = [tier.over_input_tokens for tier in prices.tiers]
    (requests, inputs), *long = tier_shares(case.workload.input_tokens, starts)
    base = Band(
        requests,
        inputs,
        values(f"{path}/input_usd_per_mtok"),
        values(f"{path}/cached_input_usd_per_mtok"),
        values(f"{path}/output_usd_per_mtok"),
    )
    tiers = (
        Band(
            share,
            tokens,
            values.constant(tier.input_usd_per_mtok),
            values.constant(tier.cached_input_usd_per_mtok or Decimal(0)),
            values.constant(tier.output_usd_per_mtok),
        )
        for tier, (share, tokens) in zip(prices.tiers, long, strict=True)
    )
    return (base, *tiers)


def tier_shares(lengths: Lengths, starts: Sequence[Decimal]) -> list[tuple[Decimal, Decimal]]:
    """Shares of requests and of input tokens up to the first start and above each start.

    By the distribution of input lengths where it is known, else the mean request decides for all.
    """
    parts = [(part.tokens, part.share) for part in lengths.histogram] or [(lengths.mean or Decimal(0), Decimal(1))]
    requests = [Decimal(0)] * (len(starts) + 1)
    inputs = [Decimal(0)] * (len(starts) + 1)
    for tokens, share in parts:
        tier = sum(start < tokens for start in starts)
        requests[tier] += share
        inputs[tier] += tokens * share
    # Over their own sums: shares out of a trace sum to 1 but for their last digits, and one tier takes exactly all.
    all_requests, all_inputs = sum(requests, Decimal(0)), sum(inputs, Decimal(0))
    return [(share / all_requests, tokens / all_inputs) for share, tokens in zip(requests, inputs, strict=True)]
