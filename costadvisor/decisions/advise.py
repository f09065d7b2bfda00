"""From a case's file to an answer, with no database: what `manage.py advise` runs."""

from dataclasses import dataclass
from pathlib import Path

from costadvisor.decisions.resolve import case_resolve
from costadvisor.economics import Case, CaseError, evaluate, parse_case
from costadvisor.economics.evaluation import Evaluation

WHOLE = "/"


@dataclass(frozen=True)
class Advice:
    """A resolved case and its evaluation."""

    case: Case
    evaluation: Evaluation


def advise(file: Path) -> Advice:
    """Read, resolve and evaluate the case in a file. Raises CaseError for one that is refused."""
    case = case_resolve(_written(file), folder=file.parent)
    return Advice(case, evaluate(case))


def _written(file: Path) -> Case:
    try:
        return parse_case(_text(file))
    except CaseError as error:
        if error.path != WHOLE:
            raise
        raise CaseError(str(file), error.problem, error.remedy) from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise CaseError(str(file), f"can't be read ({error.strerror})", "give the path of a case") from None
    except UnicodeDecodeError:
        raise CaseError(str(file), "is not text in UTF-8", "give the path of a case") from None
