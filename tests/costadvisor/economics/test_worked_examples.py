"""Third parties' own figures, and two published errors: the list that the self-test publishes."""

from dataclasses import replace

import pytest

from costadvisor.economics import evaluate, parse_case
from costadvisor.economics.selftest import WORKED_EXAMPLES, example_outcome, lessons, self_test
from costadvisor.economics.selftest.examples import WorkedExample
from tests.costadvisor.economics import test_traps as traps
from tests.costadvisor.economics.cases import answer, api, fleet, row


@pytest.mark.parametrize("example", WORKED_EXAMPLES, ids=lambda example: example.id)
def test_what_was_printed_comes_out_and_its_errors_do_not(example: WorkedExample) -> None:
    outcome = example_outcome(example)
    assert outcome.ok, [figure for figure in outcome.outcomes if not figure.ok]
    assert outcome.lessons
    assert all(figure.right_as_printed for figure in outcome.outcomes) == example.sound


@pytest.mark.parametrize("example", WORKED_EXAMPLES, ids=lambda example: example.id)
def test_a_figure_three_percent_off_is_told(example: WorkedExample) -> None:
    for place, run in enumerate(example.runs):
        for figure in run.printed:
            wrong = 1.0 if figure.right is None else 1.03 * figure.right or 0.03
            off = replace(run, printed=(replace(figure, right=wrong),))
            runs = (*example.runs[:place], off, *example.runs[place + 1 :])
            assert not example_outcome(replace(example, runs=runs)).ok


def test_every_example_of_the_list_is_there_and_known_bad_ones_are_refused() -> None:
    by_id = {result.example.id: result for result in self_test()}
    reproduced = {
        "induwara",
        "llmtco-a",
        "llmtco-c",
        "llmtco-e",
        "dreaming-press",
        "lenovo",
        "batch-window",
        "full-gpu",
    }
    assert {id_ for id_, result in by_id.items() if result.example.sound} == reproduced
    assert {id_ for id_, result in by_id.items() if not result.example.sound} == {"forgpro", "kickllm"}
    assert [(figure.published, figure.ours) for figure in by_id["forgpro"].outcomes][-1] == (
        "8,111M tokens a month",
        "never",
    )


def test_the_twelve_traps_are_the_lessons_and_each_has_its_guard() -> None:
    numbered = [lesson.trap for lesson in lessons().values() if lesson.trap]
    assert numbered == list(range(1, 13))
    for number in numbered:
        assert any(name.startswith(f"test_{number}_") for name in vars(traps))


def test_forgpro_says_why_never() -> None:
    example = next(known for known in WORKED_EXAMPLES if known.id == "forgpro")
    month = evaluate(parse_case(example.runs[0].case)).break_even[0]
    assert (month.never, month.intervals, month.always_from_api_usd_per_month) == (True, (), None)
    assert (
        month.message == "Never: one full replica costs $28.95 per million tokens, model at api $0.45, by running cost."
    )


@pytest.mark.parametrize(("tokens_per_month", "replicas"), [(6.56e9, 1), (6.57e9, 2)])
def test_induwara_capacity(tokens_per_month: float, replicas: int) -> None:
    """One GPU makes 6.566 billion tokens a month and no more."""
    example = WORKED_EXAMPLES[0]
    case = example.runs[0].case
    workload = case["workload"] | {"requests_per_month": tokens_per_month / 4000}
    fleet_size = row(evaluate(parse_case(case | {"workload": workload})), "own").replicas
    assert fleet_size
    assert fleet_size.max == replicas


def test_bought_hardware_is_amortized_for_display_and_cash_in_the_total() -> None:
    bought = {"plan": "owned", "purchase_usd": "15000", "useful_life_months": 36}
    found = row(answer(api(), fleet(usd_per_hour="0", hardware=bought)), "h100")
    assert found.lines[0].formula == "1 replica x $15,000.00 x (1 - 0) / 36 months"
    assert found.tco_usd
    assert found.tco_usd.point == 15_000
