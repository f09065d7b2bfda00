"""The decision model, pure: a resolved case in, an evaluation out. `docs/how-it-decides.md` has every equation."""

from costadvisor.economics.case import Case
from costadvisor.economics.errors import CaseError
from costadvisor.economics.evaluate import evaluate
from costadvisor.economics.evaluation import Evaluation
from costadvisor.economics.parse import case_bytes, case_sha256, parse_case

__all__ = ["Case", "CaseError", "Evaluation", "case_bytes", "case_sha256", "evaluate", "parse_case"]
