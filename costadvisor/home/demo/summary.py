"""What the demo says at its end."""

from collections.abc import Iterator

from costadvisor.calibration.page import answer_sentence
from costadvisor.common.templatetags.figures import count
from costadvisor.decisions.text import answer_text
from costadvisor.home.demo.answer import Decided


def summary(decided: Decided) -> str:
    """The verdict, the options with what excluded any, and the calibration behind this machine's."""
    recommendation = decided.recommendation
    answer = answer_text(recommendation.evaluation, recommendation.case)
    return "\n".join([answer, "", *_calibration(decided)])


def _calibration(decided: Decided) -> Iterator[str]:
    record = decided.record
    if record is None:
        yield decided.left_out
        yield "So this machine is no option above."
        return
    job = record.job
    grade = record.content.grade
    yield f"Calibration {job.pk if job else ''}: {record.model_name} on {record.hardware}"
    yield f"  worker            {job.worker_id if job else ''}"
    yield f"  tokens processed  {count(record.tokens_processed)}"
    yield f"  grade             {grade.letter or 'none'}: {grade.basis}"
    yield f"  {answer_sentence(record.content)}"
    if decided.left_out:
        yield f"  So this machine is no option above. {decided.left_out}"
    elif record.requests_per_s is None:
        yield f"  So this machine is priced by the fallback: {_capacity_source(decided)}."


def _capacity_source(decided: Decided) -> str:
    evidence = decided.recommendation.case.evidence[f"/options/{decided.option_id}/capacity"]
    return f"grade {evidence.grade}, {evidence.source}"
