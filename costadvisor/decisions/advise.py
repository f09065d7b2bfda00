"""From a case's file to an answer, with no database: what `manage.py advise` runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from costadvisor.decisions.ranked import suggestions
from costadvisor.decisions.resolve import case_resolve
from costadvisor.decisions.sized import Suggestion, with_suggestions
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
    return _advice(_written(file), file.parent)


def proposed(file: Path) -> tuple[list[Suggestion], dict[str, Any]]:
    """What is worth comparing with the case in a file, and the case with what is suggested added, as written.

    A trace is read for its lengths, as for an answer. Raises CaseError for a case that is refused.
    """
    written = _written(file)
    resolved = case_resolve(written, folder=file.parent).model_dump(mode="json", by_alias=True, exclude_unset=True)
    case = written.model_dump(mode="json", by_alias=True, exclude_unset=True)
    found = suggestions({**resolved, "options": case["options"]}, records=())
    return found, with_suggestions(case, [one for one in found if one.suggested])


def advise_case(written: dict[str, Any], folder: Path) -> Advice:
    """Resolve and evaluate a written case; `folder` is where its paths start."""
    return _advice(parse_case(written), folder)


def _advice(written: Case, folder: Path) -> Advice:
    case = case_resolve(written, folder=folder)
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
