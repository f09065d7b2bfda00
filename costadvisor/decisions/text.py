"""An answer for a terminal: the sentence, then the options side by side. A share of draws in words."""

from collections.abc import Sequence

from costadvisor.common.money import UNKNOWN, amount_text
from costadvisor.decisions.price_moves import PriceMoves
from costadvisor.decisions.sized import Suggestion
from costadvisor.economics.case import Case
from costadvisor.economics.evaluation import Evaluation, OptionResult, Spread
from costadvisor.economics.names import names_by_id

SUGGESTED = ("  option", "USD a month", "total USD", "saves USD", "replicas", "evidence", "calibration USD")
MOVED = ("break-even in API spend a month", "before", "after")
HEADINGS = ("option", "USD a month", "p10 to p90", "total USD", "USD per M tokens", "cheapest in")


def answer_text(evaluation: Evaluation, case: Case) -> str:
    """The verdict's sentence, a line an option, and under each excluded one why."""
    names, today = names_by_id(case), next(option.id for option in case.options if option.baseline)
    names[today] += " (today)"
    rows = [HEADINGS, *(_cells(row, names[row.id]) for row in evaluation.options)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [evaluation.verdict.sentence, "", _aligned(HEADINGS, widths)]
    for row, cells in zip(evaluation.options, rows[1:], strict=True):
        lines += [_aligned(cells, widths), *(f"  excluded: {refusal.message}" for refusal in row.refusals)]
    told = f"Medians of {evaluation.draws:,} draws; totals over {case.horizon_months} months, discounted."
    return "\n".join([*lines, "", told])


def suggestions_text(found: Sequence[Suggestion]) -> str:
    """What is worth comparing, a line each; with a star what is added."""
    rows = [SUGGESTED, *(_suggestion_cells(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(SUGGESTED))]
    lines = ["Options worth comparing; a star is added here.", "", _aligned(SUGGESTED, widths)]
    for one, cells in zip(found, rows[1:], strict=True):
        lines += [_aligned(cells, widths), *(f"  would be excluded: {refusal}" for refusal in one.refused)]
    told = "Expected totals, discounted; evidence A and B measured, C and D published or listed, E arithmetic."
    return "\n".join([*lines, "", told])


def moves_text(moves: PriceMoves) -> str:
    """What new prices do to one answer: the prices, a sentence for each break-even that moved, then all of them."""
    prices = [f"  {name}: {before} → {after}" for name, before, after in moves.prices]
    rows = [MOVED, *((f"{row.option} against {row.versus}", row.before, row.after) for row in moves.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(MOVED))]
    table = [f"  {_aligned(row, widths)}" for row in rows] if moves.rows else []
    verdict = moves.verdict_after if moves.verdict_changed else "unchanged"
    return "\n".join([*prices, *(f"  {told}" for told in moves.sentences), *table, f"  Answer: {verdict}"])


def _suggestion_cells(found: Suggestion) -> tuple[str, ...]:
    return (
        f"{'* ' if found.suggested else '  '}{found.name} ({found.kind})",
        amount_text(found.usd_per_month, places=0),
        amount_text(found.tco_usd, places=0),
        amount_text(found.saves_usd, places=0),
        "-" if found.replicas is None else f"{found.replicas:,}",
        found.grade,
        "-" if found.calibration_usd is None else amount_text(found.calibration_usd, places=0),
    )


def percent(share: float) -> str:
    """Whole percent. A share of draws is never certain, however many agree."""
    if share >= 0.995:
        return "over 99\u00a0%"
    if share < 0.005:
        return "under 1\u00a0%"
    return f"{share:.0%}".replace("%", "\u00a0%")


def _cells(row: OptionResult, name: str) -> tuple[str, ...]:
    month = row.usd_per_month
    return (
        name,
        _usd(month),
        "" if month is None else f"{amount_text(month.p10, places=0)} to {amount_text(month.p90, places=0)}",
        _usd(row.tco_usd),
        UNKNOWN if row.usd_per_mtok is None else amount_text(row.usd_per_mtok, places=3),
        "-" if not row.allowed or row.p_cheapest is None else percent(row.p_cheapest),
    )


def _usd(spread: Spread | None) -> str:
    return UNKNOWN if spread is None else amount_text(spread.p50, places=0)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, figures to the right."""
    name, *figures = cells
    aligned = [name.ljust(widths[0]), *(text.rjust(width) for text, width in zip(figures, widths[1:], strict=True))]
    return "  ".join(aligned).rstrip()
