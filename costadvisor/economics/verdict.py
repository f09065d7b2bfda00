"""From the ranking to a verdict, and how it compares with the published rule of thumb."""

from collections.abc import Iterator
from decimal import Decimal

from costadvisor.economics.case import Case
from costadvisor.economics.costs import fleet_month
from costadvisor.economics.evaluation import AnswerKind, OptionResult, RuleOfThumb, Verdict, Zone
from costadvisor.economics.figures import prose_usd
from costadvisor.economics.information import worth_learning
from costadvisor.economics.options import ApiOption, Option, SelfHostOption
from costadvisor.economics.price_ages import old_prices_sentence
from costadvisor.economics.ranking import Ranking, baseline_of
from costadvisor.economics.values import Exact
from costadvisor.economics.wording import Findings, answer_sentence, constraint_words, doubt_sentence, reasons, to_learn

ENOUGH_CONFIDENCE = 0.8
BELOW_USD, ABOVE_USD = Decimal(1_000), Decimal(10_000)
PLAN_ANSWERS: dict[str, AnswerKind] = {"serverless": "serverless_gpu", "owned": "owned_gpu"}
# An EVPI under this share of the best total is no reason to wait.
LEAST_EVPI_SHARE = Decimal("0.01")


def verdict(found: Findings, ranking: Ranking | None) -> Verdict:
    """Not enough evidence where the doubt is dear and learning more costs less than it is worth."""
    if ranking is None:
        return _nothing_allowed(found)
    learn = worth_learning(found.information) if _doubt_is_dear(found, ranking) else []
    doubtful = bool(learn)
    return Verdict(
        choice="not_enough_evidence" if doubtful else _answer(ranking.best),
        option=ranking.best.id,
        confidence=ranking.confidence,
        sentence=(doubt_sentence if doubtful else answer_sentence)(found, ranking) + old_prices_sentence(found.case),
        reasons=reasons(found, ranking),
        measure_next=tuple(to_learn(found, value) for value in learn),
    )


def _doubt_is_dear(found: Findings, ranking: Ranking) -> bool:
    information = found.information
    if ranking.confidence >= ENOUGH_CONFIDENCE or information is None:
        return False
    return information.evpi_usd >= LEAST_EVPI_SHARE * abs(found.total(ranking.best))


def rule_of_thumb(found: Findings, answer: Verdict) -> RuleOfThumb:
    """Below $1k a month of API spend self-hosting rarely pays, above $10k it often does."""
    spend = _api_spend(found)
    zone = _zone(spend) if spend is not None else None
    answered = answer.option is not None and answer.choice != "not_enough_evidence"
    own = answered and found.own(found.options[answer.option or ""])
    return RuleOfThumb(
        api_usd_per_month=spend,
        zone=zone,
        floor_usd_per_month=min((_floor(found.case, option) for option in _fleets(found)), default=None),
        agrees=(zone == "between" or own == (zone == "above")) if answered and zone else None,
    )


def _answer(option: Option) -> AnswerKind:
    if isinstance(option, ApiOption):
        return "open_model_host" if option.open_weights else "api"
    if isinstance(option, SelfHostOption):
        return PLAN_ANSWERS.get(option.hardware.plan, "rented_gpu")
    return option.kind


def _api_spend(found: Findings) -> Decimal | None:
    """Of the baseline where it is an API, else of the cheapest API."""
    month = {id_: row.usd_per_month.point for id_, row in found.rows.items() if row.kind == "api" and row.usd_per_month}
    return month.get(baseline_of(found.case), min(month.values(), default=None))


def _zone(spend: Decimal) -> Zone:
    if spend < BELOW_USD:
        return "below"
    return "above" if spend > ABOVE_USD else "between"


def _fleets(found: Findings) -> Iterator[SelfHostOption]:
    return (option for option in found.options.values() if isinstance(option, SelfHostOption))


def _floor(case: Case, option: SelfHostOption) -> Decimal:
    """What the smallest fleet costs before it serves anything: replicas x price x hours, and people."""
    scaling = option.scaling
    replicas = scaling.keep_warm if scaling.policy == "scale_to_zero" else scaling.min_replicas + scaling.spare_replicas
    month = fleet_month(option, Exact(case), replicas * case.hours_per_month, Decimal(0))
    floor: Decimal = month.rent + month.amortization + month.power + month.colocation + month.people
    return floor


def _nothing_allowed(found: Findings) -> Verdict:
    relaxations = sorted(_relaxations(found), key=lambda known: known[1])
    outcomes = tuple(text for text, _ in relaxations)
    hint = f" {outcomes[0]}" if outcomes else ""
    return Verdict(
        choice="no_option_allowed",
        option=None,
        confidence=None,
        sentence=f"No option meets every constraint.{hint}{old_prices_sentence(found.case)}",
        reasons=outcomes,
        measure_next=(),
    )


def _relaxations(found: Findings) -> Iterator[tuple[str, Decimal]]:
    """For each smallest set of constraints that would free an option: the cheapest it frees, and its TCO."""
    broken = {id_: frozenset(refusal.code for refusal in row.refusals) for id_, row in found.rows.items()}
    today = found.rows[baseline_of(found.case)].tco_usd
    for codes in sorted(set(broken.values()), key=sorted):
        if any(other < codes for other in broken.values()):
            continue
        freed = [row for id_, row in found.rows.items() if broken[id_] <= codes and row.tco_usd]
        if freed:
            cheapest = min(freed, key=_median)
            yield _relaxation(found, constraint_words(sorted(codes)), cheapest, today.p50 if today else None)


def _relaxation(found: Findings, relaxed: str, row: OptionResult, today: Decimal | None) -> tuple[str, Decimal]:
    total = _median(row)
    text = f"Relaxing {relaxed} allows {found.names[row.id]} for about {prose_usd(total)} over {found.horizon}"
    baseline = baseline_of(found.case)
    if today is not None and row.id != baseline:
        saved = today - total
        text += f", {prose_usd(abs(saved))} {'less' if saved >= 0 else 'more'} than {found.names[baseline]} today"
    return f"{text}.", total


def _median(row: OptionResult) -> Decimal:
    return row.tco_usd.p50 if row.tco_usd else Decimal("Infinity")
