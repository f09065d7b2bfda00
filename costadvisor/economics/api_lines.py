"""Month 1 of an API and of provisioned units as rows, each with its terms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from costadvisor.economics.case import Case, Lengths
from costadvisor.economics.costs import (
    TOKENS_PER_MTOK,
    ApiMonth,
    api_month,
    resolved_prices,
    tier_shares,
    time_factor,
)
from costadvisor.economics.evaluation import Line, Term
from costadvisor.economics.figures import count, plain, price, rate_usd
from costadvisor.economics.options import ApiOption, ProvisionedOption
from costadvisor.economics.terms import hours_a_month, line, term
from costadvisor.economics.values import VOLUME, Exact

WRITTEN = "cache_write_input_share"
Row = tuple[str, tuple[Term, ...], Decimal]


def api_lines(option: ApiOption, values: Exact) -> tuple[Line, ...]:
    """Rows that are 0 because nothing is cached, batched, charged by request or corrected are left out."""
    month = api_month(values.case, option, values)
    rows = (*_token_rows(option, values, month), *_factor_rows(option, values.case, values, month))
    return tuple(line(option.id, *row) for place, row in enumerate(rows) if row[2] or place == 0)


def _token_rows(option: ApiOption, values: Exact, month: ApiMonth) -> Iterator[Row]:
    """Each kind of token at its own price."""
    workload = values.case.workload
    cached, written = workload.cached_input_share, workload.cache_write_input_share
    requests = _requests(values)
    inputs = (requests, _tokens(workload.input_tokens, "input_tokens"))
    outputs = (requests, _tokens(workload.output_tokens, "output_tokens"))
    shares = {f"/workload/{key}": share for key, share in (("cached_input_share", cached), (WRITTEN, written)) if share}
    words = f"(1 - {' - '.join(map(str, shares.values()))})"
    uncached = (term(words, 1 - cached - written, "share", *shares),) if shares else ()
    price = _TokenPrices(option, workload.input_tokens)
    yield "Input tokens", (*inputs, *uncached, price.input()), month.uncached_input
    part = term(f"{cached}", cached, "share", "/workload/cached_input_share")
    yield "Cached input", (*inputs, part, price.cached()), month.cached_input
    part = term(f"{written}", written, "share", f"/workload/{WRITTEN}")
    yield "Cache writes", (*inputs, part, price.written()), month.cache_writes
    yield "Output tokens", (*outputs, price.output()), month.output


def _factor_rows(option: ApiOption, case: Case, values: Exact, month: ApiMonth) -> Iterator[Row]:
    """What is taken off the tokens or put on them, requests, and the step from list price to bill."""
    prices, path = resolved_prices(option), f"/options/{option.id}"
    tokens = month.uncached_input + month.cached_input + month.cache_writes + month.output
    hours = term(
        "(mean factor of the hours - 1)",
        time_factor(case, prices.windows) - 1,
        "share",
        f"{path}/prices/windows",
        "/workload/hourly_shape",
    )
    yield "Time-of-day prices", (hours, term("tokens", tokens, "USD")), month.time_of_day
    waiting, discount = case.workload.batchable_share, prices.batch_discount
    batch = (
        term(f"-{waiting}", -waiting, "share", "/workload/batchable_share"),
        term(f"{discount}", discount, "share", f"{path}/prices/batch_discount"),
        term("tokens", tokens + month.time_of_day, "USD"),
    )
    yield "Batch discount", batch, month.batch_saving
    each = term(
        price(prices.usd_per_request), prices.usd_per_request, "USD per request", f"{path}/prices/usd_per_request"
    )
    yield "Requests", (_requests(values), each), month.requests
    k, listed = option.reconciliation_factor, month.total - month.reconciliation
    billed = (
        term("(k - 1)", k - 1, "share", f"{path}/reconciliation_factor"),
        term(f"the above, k = {k}", listed, "USD"),
    )
    yield "Billed against list price", billed, month.reconciliation


def provisioned_lines(option: ProvisionedOption, case: Case, units: int) -> tuple[Line, ...]:
    """Units around the clock."""
    hourly, field = option.usd_per_unit_hour, f"/options/{option.id}/usd_per_unit_hour"
    terms = (
        term(count(units, "unit"), Decimal(units), "units"),
        hours_a_month(case),
        term(price(hourly), hourly, "USD an hour", field),
    )
    return (line(option.id, "Provisioned units", terms, units * case.hours_per_month * hourly),)


def _requests(values: Exact) -> Term:
    return term(f"{plain(values(VOLUME))} requests", values(VOLUME), "requests a month", VOLUME)


def _tokens(lengths: Lengths, key: str) -> Term:
    mean = lengths.mean or Decimal(0)
    return term(f"{plain(mean)} tokens", mean, "tokens per request", f"/workload/{key}")


@dataclass(frozen=True)
class _TokenPrices:
    """USD of a token; with long-context tiers the mean over them, weighted by their tokens or requests."""

    option: ApiOption
    lengths: Lengths

    def input(self) -> Term:
        return self._term("input_usd_per_mtok", self._mean_input())

    def cached(self) -> Term:
        prices = resolved_prices(self.option)
        tiers = [tier.cached_input_usd_per_mtok or Decimal(0) for tier in prices.tiers]
        usd = self._mean(prices.cached_input_usd_per_mtok or Decimal(0), tiers, by_tokens=True)
        return self._term("cached_input_usd_per_mtok", usd)

    def written(self) -> Term:
        """Where writing has no price of its own it costs what input costs."""
        prices = resolved_prices(self.option)
        own = prices.cache_write_usd_per_mtok is not None and prices.input_usd_per_mtok
        factor = (prices.cache_write_usd_per_mtok or 0) / prices.input_usd_per_mtok if own else Decimal(1)
        return self._term("cache_write_usd_per_mtok" if own else "input_usd_per_mtok", self._mean_input() * factor)

    def output(self) -> Term:
        prices = resolved_prices(self.option)
        tiers = [tier.output_usd_per_mtok for tier in prices.tiers]
        return self._term("output_usd_per_mtok", self._mean(prices.output_usd_per_mtok, tiers, by_tokens=False))

    def _mean_input(self) -> Decimal:
        prices = resolved_prices(self.option)
        return self._mean(prices.input_usd_per_mtok, [tier.input_usd_per_mtok for tier in prices.tiers], by_tokens=True)

    def _mean(self, first: Decimal, tiers: Sequence[Decimal], *, by_tokens: bool) -> Decimal:
        starts = [tier.over_input_tokens for tier in resolved_prices(self.option).tiers]
        shares = [pair[by_tokens] for pair in tier_shares(self.lengths, starts)]
        return sum((share * usd for share, usd in zip(shares, (first, *tiers), strict=True)), Decimal(0))

    def _term(self, key: str, usd_per_mtok: Decimal) -> Term:
        path = f"/options/{self.option.id}/prices"
        if not resolved_prices(self.option).tiers:
            return term(
                f"{price(usd_per_mtok)} per million", usd_per_mtok / TOKENS_PER_MTOK, "USD per token", f"{path}/{key}"
            )
        words = f"{rate_usd(usd_per_mtok)} per million, the mean of long-context tiers"
        return term(words, usd_per_mtok / TOKENS_PER_MTOK, "USD per token", f"{path}/{key}", f"{path}/tiers")
