"""Decides the example with what was measured here, and writes down what the product stored."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils import timezone

from costadvisor.calibration.models import CalibrationRecord
from costadvisor.common.refusal import Refusal
from costadvisor.decisions.capacity import STORED
from costadvisor.decisions.models import Decision, Recommendation
from costadvisor.decisions.selectors import decision_evaluate, recommendation_standing
from costadvisor.decisions.services.decisions import decision_option_add, decision_option_remove
from costadvisor.decisions.services.recommendations import recommendation_issue
from costadvisor.home.demo.example import CASE, Example, option_written
from costadvisor.home.demo.measurement import Measurement
from costadvisor.reports.services import document_print

THIS_MACHINE = CASE.with_name("this_machine.json")


@dataclass(frozen=True)
class Decided:
    """`option_id` of this machine in the version's case; None where `left_out` says why it is no option. Without
    `record` nothing was measured."""

    recommendation: Recommendation
    record: CalibrationRecord | None
    option_id: str | None
    left_out: str


def decide(example: Example, measurement: Measurement) -> Decided:
    """Puts this machine among the options by what was measured, and issues a version. Raises Refusal where that cannot
    be; that there is nothing to price is no reason for one."""
    decision, record, left_out = example.decision, measurement.record, measurement.without
    machine: dict[str, Any] = json.loads(THIS_MACHINE.read_text(encoding="utf-8"))
    earlier = _option_of(decision, machine)
    if earlier is not None:
        decision = decision_option_remove(decision=decision, actor=example.user, option_id=earlier)
    if record is not None:
        machine["capacity"] = {"record": f"{STORED}{record.sha256}"}
        try:
            decision = decision_option_add(decision=decision, actor=example.user, written=option_written(machine))
        except Refusal as refusal:
            if not (refusal.field or "").endswith("/capacity/record"):
                raise
            left_out = str(refusal)
    recommendation = _version(example, decision)
    return Decided(recommendation, record, _option_of(decision, machine), left_out)


def files_write(decided: Decided, folder: Path) -> list[Path]:
    """The document, case, evaluation and, if there is one, the record, byte for byte as they are stored. What an
    earlier run wrote there goes."""
    recommendation = decided.recommendation
    contents = {
        "recommendation.pdf": bytes(document_print(recommendation=recommendation).content),
        "evaluation.json": recommendation.evaluation_json.encode(),
        "case.json": recommendation.case_json.encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "calibration.json").unlink(missing_ok=True)
    if decided.record is not None:
        contents["calibration.json"] = decided.record.canonical_json.encode()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def _option_of(decision: Decision, machine: dict[str, Any]) -> str | None:
    """The id under which the decision has this model on this hardware."""
    for option in decision.case["options"]:
        if option["model"] == machine["model"] and option.get("hardware", {}).get("gpu") == machine["hardware"]["gpu"]:
            return str(option["id"])
    return None


def _version(example: Example, decision: Decision) -> Recommendation:
    """The next version, or the one that says this already."""
    sha256 = decision_evaluate(decision=decision).evaluation.case_sha256
    standing = recommendation_standing(organization=example.organization)
    same = standing.filter(decision=decision, case_sha256=sha256).first()
    return same or recommendation_issue(decision=decision, actor=example.user, now=timezone.now())
