"""The answer in words: one sentence that can be read aloud, then the reasons in order of weight."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from costadvisor.economics.case import Case
from costadvisor.economics.composition import uses_gpus
from costadvisor.economics.evaluation import BreakEven, InputValue, OptionResult, Sensitivity, ValueOfInformation
from costadvisor.economics.evidence import evidence_of
from costadvisor.economics.figures import count, percent, plain, prose_usd, rate_usd
from costadvisor.economics.levelized import levelized_usd_per_mtok
from costadvisor.economics.names import input_name, input_text, names_by_id, option_id
from costadvisor.economics.options import ApiOption, Option, SelfHostOption
from costadvisor.economics.ranking import Ranking, baseline_of

# By the code of a refusal.
CONSTRAINTS = {
    "privacy": "privacy",
    "quality": "the quality gate",
    "slo": "the latency target",
    "max_replicas": "the number of replicas that may be had",
    "commitment": "the longest commitment",
    "rate_limit": "the provider's rate limit",
}

TEAM_ROWS = ("People", "Tools and services")


@dataclass(frozen=True)
class Findings:
    """What the words are made from; `rows` and `options` by option id."""

    case: Case
    options: Mapping[str, Option]
    rows: Mapping[str, OptionResult]
    break_evens: Sequence[BreakEven]
    sensitivity: Sequence[Sensitivity]
    information: ValueOfInformation | None = None

    def own(self, option: Option) -> bool:
        """Whether GPUs of one's own are part of it."""
        return uses_gpus(self.case, option)

    def month(self, option: Option) -> str:
        """`$340 a month (estimated)`: an API's spend is called billed only where a bill says so."""
        spread = self.rows[option.id].usd_per_month
        basis = f" ({spend_basis(self.case, option)})" if isinstance(option, ApiOption) else ""
        return f"{prose_usd(spread.p50)} a month{basis}" if spread else "an unknown amount"

    def total(self, option: Option) -> Decimal:
        """Median TCO."""
        spread = self.rows[option.id].tco_usd
        return spread.p50 if spread else Decimal(0)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """What each option is called, by its id."""
        return names_by_id(self.case)

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
    costs = f"{found.names[best.id]}: about {found.month(best)}, {prose_usd(found.total(best))} over {found.horizon}"
    if best.baseline:
        start = f"Keep {costs}"
    else:
        today = found.options[baseline_of(found.case)]
        start = f"Move to {costs}, against {found.month(today)} for {found.names[today.id]} today"
    return f"{start}; {_how_sure(found, ranking)}."


def doubt_sentence(found: Findings, ranking: Ranking) -> str:
    """For `not_enough_evidence`, which takes a rival."""
    best, share = ranking.best, f"in {percent(1 - ranking.confidence)} of {plain(found.case.draws)} draws"
    rival = found.names[ranking.rivals[0].id]
    doubt = f"{found.names[best.id]} leads at about {found.month(best)}, but {rival} or another option like it "
    doubt += f"costs less over {found.horizon} {share}"
    return f"Not enough evidence to decide: {doubt}."


def _how_sure(found: Findings, ranking: Ranking) -> str:
    if not ranking.rivals:
        return _nothing_to_compare(found, ranking)
    others = "any allowed API" if found.own(ranking.best) else "serving it ourselves"
    draws = plain(found.case.draws)
    share = f"every one of {draws}" if ranking.confidence == 1 else f"{percent(ranking.confidence)} of {draws}"
    return f"cheaper than {others} in {share} draws"


def _nothing_to_compare(found: Findings, ranking: Ranking) -> str:
    other = "API" if found.own(ranking.best) else "way to serve the model ourselves"
    alone = f"there is no allowed {other} to compare it with"
    short = percent(1 - ranking.confidence)
    told = f"{alone}, and in {short} of draws it needs more replicas than may be had"
    return alone if ranking.confidence == 1 else told


def reasons(found: Findings, ranking: Ranking) -> tuple[str, ...]:
    """In order: the gap, the fleet, the break-even, the siblings, what constraints cost, what would switch it."""
    return (
        *_gap(found, ranking),
        *_levelized(found, ranking),
        *_fleet(found, ranking),
        *_break_even(found, ranking),
        *_siblings(found, ranking),
        *_excluded(found, ranking.best),
        *_switch(found),
    )


def _gap(found: Findings, ranking: Ranking) -> Iterator[str]:
    for rival in ranking.rivals[:1]:
        more = found.total(rival) - found.total(ranking.best)
        # The lower mean is the best, also where a skew makes its median the higher one.
        word, but = ("more", "") if more >= 0 else ("less", "; over all draws together it costs more, and that decides")
        totals = " against ".join(prose_usd(found.total(option)) for option in (rival, ranking.best))
        told = f"costs about {prose_usd(abs(more))} {word} over {found.horizon}: {totals} (medians, discounted){but}."
        yield f"{found.names[rival.id]} {told}"


def _levelized(found: Findings, ranking: Ranking) -> Iterator[str]:
    """Setup and all in, at the case's own values, so that options of different kinds compare by one price."""
    if not ranking.rivals:
        return
    told = [
        f"{found.names[option.id]} {rate_usd(levelized_usd_per_mtok(found.case, float(spread.point)))}"
        for option in (ranking.best, ranking.rivals[0])
        if (spread := found.rows[option.id].tco_usd)
    ]
    yield f"With setup and spread over all tokens of {found.horizon}, a million tokens cost: {', '.join(told)}."


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
    spare = 0 if option.scaling.policy == "scale_to_zero" else option.scaling.spare_replicas
    yield (
        f"{found.names[option.id]} needs {count(row.replicas.max, 'replica')} in its busiest hour"
        f"{f', {spare} of them spare' if spare else ''}, and is {percent(row.utilization)} busy over the week; it "
        f"costs {prose_usd(_gpus(usd))} a month in GPUs and {prose_usd(usd['People'])} in people, "
        f"{rate_usd(row.usd_per_mtok or 0)} per million tokens in all."
    )


def _gpus(usd: Mapping[str, Decimal]) -> Decimal:
    """All rows of a fleet but those of its team."""
    return sum((amount for label, amount in usd.items() if label not in TEAM_ROWS), Decimal(0))


def _break_even(found: Findings, ranking: Ranking) -> Iterator[str]:
    option = _own_fleet(ranking)
    for known in found.break_evens:
        if option and known.option == option.id and known.basis == "month_1":
            yield f"{found.names[option.id]}: {known.message[:1].lower()}{known.message[1:]}"


def _siblings(found: Findings, ranking: Ranking) -> Iterator[str]:
    for sibling in ranking.siblings[:1]:
        more = found.total(sibling) - found.total(ranking.best)
        kind = "options on our own GPUs" if found.own(sibling) else "APIs"
        yield (
            f"Of the {kind} the next is {found.names[sibling.id]}, about {prose_usd(abs(more))} "
            f"{'dearer' if more >= 0 else 'cheaper'} over {found.horizon}; the confidence does not concern the "
            "choice between these two."
        )


def _excluded(found: Findings, best: Option) -> Iterator[str]:
    for row in found.rows.values():
        if row.allowed or row.tco_usd is None:
            continue
        less = found.total(best) - row.tco_usd.p50
        if less > 0:
            name, by = found.names[row.id], constraint_words(refusal.code for refusal in row.refusals)
            yield f"{name} is excluded by {by} and would cost about {prose_usd(less)} less over {found.horizon}."


def constraint_words(codes: Iterable[str]) -> str:
    """`privacy and the latency target`."""
    return " and ".join(CONSTRAINTS[code] for code in dict.fromkeys(codes))


def _switch(found: Findings) -> Iterator[str]:
    for row in found.sensitivity:
        if row.switching_value is not None:
            name, value = input_name(row.input, found.names), input_text(row.input, row.switching_value)
            yield f"Alone, {name} would change the answer at {value}, all else at its median."
            return


def to_learn(found: Findings, value: InputValue) -> str:
    """`calibrate Qwen3-8B on H100, for about $401: worth about $9,800 before deciding`."""
    cost, worth = prose_usd(value.cost_to_learn_usd), prose_usd(value.usd)
    return f"{_how_to_learn(found, value.input)}, for about {cost}: worth about {worth} before deciding"


def _how_to_learn(found: Findings, pointer: str) -> str:
    name = found.names.get(option_id(pointer), "")
    if "/capacity/" in pointer or pointer.endswith(("cold_start_s", "requests_per_s_per_unit")):
        return f"calibrate {name}"
    if "/operations/" in pointer:
        return f"estimate the work that {name} takes"
    if "usd" in pointer:
        return f"get a quote for {name}"
    return f"read from the logs: {input_name(pointer, found.names)}"
