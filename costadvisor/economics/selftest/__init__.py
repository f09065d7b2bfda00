"""The published self-test: what others worked out by hand must come out, and what they got wrong must not.

The tests, `manage.py selftest` and the public page all read this one list of examples.
"""

from dataclasses import dataclass
from functools import cache

from costadvisor.economics.evaluate import evaluate
from costadvisor.economics.parse import parse_case
from costadvisor.economics.selftest.examples import WORKED_EXAMPLES, Run, WorkedExample
from costadvisor.economics.selftest.lessons import Lesson, lessons

__all__ = ["WORKED_EXAMPLES", "ExampleOutcome", "Lesson", "Outcome", "example_outcome", "lessons", "self_test"]


@dataclass(frozen=True)
class Outcome:
    """One printed figure beside ours; `right_as_printed` is False for an error, which must come out otherwise."""

    what: str
    published: str
    right_as_printed: bool
    ours: str
    ok: bool


@dataclass(frozen=True)
class ExampleOutcome:
    example: WorkedExample
    lessons: tuple[Lesson, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        return all(outcome.ok for outcome in self.outcomes)


@cache
def self_test() -> tuple[ExampleOutcome, ...]:
    """Every example, evaluated once a process: the same code gives the same answers."""
    return tuple(example_outcome(example) for example in WORKED_EXAMPLES)


def example_outcome(example: WorkedExample) -> ExampleOutcome:
    known = lessons()
    taught = tuple(known[id_] for id_ in example.teaches)
    return ExampleOutcome(example, taught, tuple(outcome for run in example.runs for outcome in _outcomes(run)))


def _outcomes(run: Run) -> list[Outcome]:
    evaluation = evaluate(parse_case(run.case))
    found = [(printed, printed.read(evaluation)) for printed in run.printed]
    return [Outcome(one.what, one.published, one.sound, one.ours(value), one.agrees(value)) for one, value in found]
