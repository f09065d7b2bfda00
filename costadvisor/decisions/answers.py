"""From a case as written to its answer, as the pages show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from costadvisor.catalog.snapshot import Catalog
from costadvisor.decisions.resolve import Records, case_resolve
from costadvisor.economics import Case, Evaluation, case_bytes, evaluate, parse_case

ANSWERS_KEPT = 32  # of a page and its charts, which ask for the same answer within seconds


@dataclass(frozen=True)
class Answer:
    """A resolved case and its evaluation."""

    case: Case
    evaluation: Evaluation


def answer(written: Mapping[str, Any], *, records: Records, catalog: Catalog | None = None) -> Answer:
    """Resolves without reading any file, and evaluates. Raises CaseError with the path of what is refused."""
    case = case_resolve(parse_case(dict(written)), folder=None, records=records, catalog=catalog)
    return Answer(case, _evaluated(case_bytes(case)))


@lru_cache(maxsize=ANSWERS_KEPT)
def _evaluated(content: bytes) -> Evaluation:
    return evaluate(parse_case(content.decode()))
