"""The answer in words: one sentence that can be read aloud, then the reasons in order of weight."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from costadvisor.economics.case import Case
from costadvisor.economics.evaluation import BreakEven, OptionResult, Sensitivity
from costadvisor.economics.evidence import evidence_of
from costadvisor.economics.figures import count, exact, option_words, percent, plain, prose_usd, rate_usd
from costadvisor.economics.options import ApiOption, CostedOption, SelfHostOption
from costadvisor.economics.ranking import Ranking, baseline_of


@dataclass(frozen=True)
class Findings:
    """What the words are made from; `rows` and `options` by option id."""

    case: Case
    options: Mapping[str, CostedOption]
    rows: Mapping[str, OptionResult]
    break_evens: Sequence[BreakEven]
    sensitivity: Sequence[Sensitivity]

    def month(self, option: CostedOption) -> str:
        """`$340 a month (estimated)`: an API's spend is called billed only where a bill says so."""
        spread = self.rows[option.id].usd_per_month
        basis = f" ({spend_basis(self.case, option)})" if isinstance(option, ApiOption) else ""
        return f"{prose_usd(spread.p50)} a month{basis}" if spread else "an unknown amount"

    def total(self, option: CostedOption) -> Decimal:
        """Median TCO."""
        spread = self.rows[option.id].tco_usd
        return spread.p50 if spread else Decimal(0)

    @property
    def horizon(self) -> str:
        return count(self.case.horizon_months, "month")


def spend_basis(case: Case, option: ApiOption) -> str:
    """`billed` where usage and the factor between bill and list price are both from a bill, else `estimated`."""
    pointers = ("/workload/requests_per_month", f"/options/{option.id}/reconciliation_factor")
    known = [evidence_of(case, pointer) for pointer in pointers]
    return "billed" if all(evidence and evidence.basis == "billed" for evidence in known) else "estimated"


def answer_sentence(found: Findings, ranking: Ranking) -> str:
    """For a recommendation."""
    best = ranking.best
    over = f"{prose_usd(found.total(best))} over {found.horizon}"
    if best.baseline:
        start = f"Keep {option_words(best)} at about {found.month(best)}, {over}"
    else:
        today = found.options[baseline_of(found.case)]
        start = f"Move to {option_words(best)} at about {found.month(best)}, {over}"
        start += f", against {found.month(today)} for {option_words(today)} today"
    return f"{start}; {_how_sure(found, ranking)}."


def doubt_sentence(found: Findings, ranking: Ranking) -> str:
    """For `not_enough_evidence`."""
    best, share = ranking.best, f"in {percent(1 - ranking.confidence)} of {plain(found.case.draws)} draws"
    doubt = f"{option_words(best)} needs more replicas than may be had {share}, and {_nothing_to_compare(best)}"
    if ranking.rivals:
        rival = option_words(ranking.rivals[0])
        doubt = f"{option_words(best)} leads at about {found.month(best)}, but {rival} or another option like it "
        doubt += f"costs less over {found.horizon} {share}"
    return f"Not enough evidence to decide: {doubt}."


def _how_sure(found: Findings, ranking: Ranking) -> str:
    if not ranking.rivals:
        return _nothing_to_compare(ranking.best)
    others = "serving it ourselves" if isinstance(ranking.best, ApiOption) else "any allowed API"
    draws = plain(found.case.draws)
    share = f"every one of {draws}" if ranking.confidence == 1 else f"{percent(ranking.confidence)} of {draws}"
    return f"cheaper than {others} in {share} draws"


def _nothing_to_compare(best: CostedOption) -> str:
    other = "that serves the model ourselves" if isinstance(best, ApiOption) else "with an API"
    return f"no allowed option {other} was there to compare it with"


def reasons(found: Findings, ranking: Ranking) -> tuple[str, ...]:
    """In order: the gap, the fleet, the break-even, the siblings, what constraints cost, what would switch it."""
    return (
        *_gap(found, ranking),
        *_fleet(found, ranking),
        *_break_even(found, ranking),
        *_siblings(found, ranking),
        *_excluded(found, ranking.best),
        *_switch(found),
    )


def _gap(found: Findings, ranking: Ranking) -> Iterator[str]:
    for rival in ranking.rivals[:1]:
        more = found.total(rival) - found.total(ranking.best)
        word = "more" if more >= 0 else "less"
        yield (
            f"{option_words(rival)} ({rival.id}) costs about {prose_usd(abs(more))} {word} over {found.horizon}: "
            f"{prose_usd(found.total(rival))} against {prose_usd(found.total(ranking.best))} (medians, discounted)."
        )


def _own_fleet(ranking: Ranking) -> SelfHostOption | None:
    """The best option with GPUs among those compared."""
    candidates = (ranking.best, *ranking.rivals)
    return next((option for option in candidates if isinstance(option, SelfHostOption)), None)


def _fleet(found: Findings, ranking: Ranking) -> Iterator[str]:
    option = _own_fleet(ranking)
    row = found.rows[option.id] if option else None
    if not option or not row or not row.replicas or row.utilization is None:
        return
    usd = {line.label: line.usd_per_month for line in row.lines}
    spare = option.scaling.spare_replicas
    yield (
        f"{option.id} needs {count(row.replicas.max, 'replica')} in its busiest hour"
        f"{f', {spare} of them spare' if spare else ''}, and is {percent(row.utilization)} used: "
        f"{prose_usd(usd['GPU rent'])} of GPU rent and {prose_usd(usd['People'])} of people a month, "
        f"{rate_usd(row.usd_per_mtok or 0)} per million tokens."
    )


def _break_even(found: Findings, ranking: Ranking) -> Iterator[str]:
    option = _own_fleet(ranking)
    for known in found.break_evens:
        if option and known.option == option.id and known.basis == "month_1":
            yield f"{option.id}: {known.message}"


def _siblings(found: Findings, ranking: Ranking) -> Iterator[str]:
    for sibling in ranking.siblings[:1]:
        more = found.total(sibling) - found.total(ranking.best)
        yield (
            f"Next of its own kind is {option_words(sibling)} ({sibling.id}), about {prose_usd(abs(more))} "
            f"{'more' if more >= 0 else 'less'} over {found.horizon}; that choice does not touch this answer."
        )


def _excluded(found: Findings, best: CostedOption) -> Iterator[str]:
    for row in found.rows.values():
        if row.allowed or row.tco_usd is None:
            continue
        codes = ", ".join(dict.fromkeys(refusal.code for refusal in row.refusals))
        less = found.total(best) - row.tco_usd.p50
        if less > 0:
            yield f"{row.id} is excluded ({codes}) and would cost about {prose_usd(less)} less over {found.horizon}."


def _switch(found: Findings) -> Iterator[str]:
    for row in found.sensitivity:
        if row.switching_value is not None:
            value = plain(exact(float(f"{row.switching_value:.3g}")))
            yield f"The answer switches where {row.input} passes {value}, everything else at its median."
            return
