"""The example in the database, and its answer with and without a rate of this machine."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from costadvisor.accounts.models import Organization, User
from costadvisor.calibration.services.records import record_import
from costadvisor.decisions.advise import advise
from costadvisor.decisions.models import Decision, Recommendation
from costadvisor.decisions.selectors import decision_evaluate
from costadvisor.decisions.services.decisions import decision_option_remove
from costadvisor.home.demo.answer import decide, files_write
from costadvisor.home.demo.example import CASE, Example, example_load
from costadvisor.home.demo.measurement import Measurement
from costadvisor.home.demo.summary import summary
from costadvisor.reports.models import Document
from costadvisor.spend.models import BillImport, PendingUpload, SpendLine
from costadvisor.workloads.models import Workload
from tests.costadvisor.home.demo_record import SLO, demo_record

DOCS = Path("docs/data-sources.md")


@pytest.fixture
def example(db: None) -> Example:
    return example_load(str)


def stored(example: Example, **changes: Any) -> Measurement:
    content = json.dumps(demo_record(**changes)).encode()
    record = record_import(
        organization=example.organization, actor=example.user, file_name="record.json", content=content
    )
    return Measurement(record)


def test_the_example_is_made_of_the_bill_the_trace_and_the_case(example: Example) -> None:
    profile = example.workload.profile
    assert profile.requests_per_month.value == pytest.approx((11_910_000 + 11_980_000 + 12_120_000) / 3, abs=0.5)
    assert (profile.requests_per_month.basis, profile.hourly_shape.basis) == ("measured", "assumed")
    assert example.workload.length_distribution is not None
    case = example.decision.case
    assert case["slo"] == SLO
    assert case["constraints"]["min_quality"]["reference"] == "today"
    assert [option["id"] for option in case["options"]] == ["today", "alibaba", "h100", "l40s"]
    assert case["options"][0]["reconciliation_factor"] == pytest.approx(0.93)
    assert case["evidence"]["/options/today/reconciliation_factor"]["basis"] == "billed"


def test_the_case_file_and_the_database_give_one_answer(example: Example) -> None:
    """What `advise` says of the file is what the rooms made of the same bill and trace."""
    written = advise(CASE)
    ours = decision_evaluate(decision=example.decision).evaluation
    assert ours.verdict.sentence == written.evaluation.verdict.sentence
    months = [[str(row.usd_per_month) for row in found.options] for found in (ours, written.evaluation)]
    assert months[0] == months[1]


def test_loading_it_again_doubles_nothing_and_keeps_what_people_changed(example: Example) -> None:
    decision_option_remove(decision=example.decision, actor=example.user, option_id="l40s")
    heard: list[str] = []
    again = example_load(heard.append)
    assert [option["id"] for option in again.decision.case["options"]] == ["today", "alibaba", "h100"]
    assert heard[0] == "Bill: bill.csv is imported already."
    assert SpendLine.current.count() == 6
    for model in (User, Organization, BillImport, Workload, Decision):
        assert model.objects.count() == 1
    assert not PendingUpload.objects.exclude(state="stored").exists()


def test_a_small_model_is_priced_and_excluded_by_quality(example: Example) -> None:
    decided = decide(example, stored(example))
    evaluation = decided.recommendation.evaluation
    machine = evaluation.options[-1]
    assert (machine.id, machine.allowed, [refusal.code for refusal in machine.refusals]) == ("cpu", False, ["quality"])
    assert machine.usd_per_month is not None
    assert machine.usd_per_month.p50 > 10_000
    told = summary(decided)
    assert f"  excluded: {machine.refusals[0].message}" in told.splitlines()
    assert "grade             B: predicted, not verified" in told
    assert "tokens processed  12,850" in told


def test_the_summary_and_the_files_say_what_is_stored(example: Example, tmp_path: Path) -> None:
    decided = decide(example, stored(example))
    lines = summary(decided).splitlines()
    evaluation = decided.recommendation.evaluation
    assert lines[0] == evaluation.verdict.sentence
    table = [line for line in lines[3:] if not line.startswith("  ")][: len(evaluation.options)]
    for line, row in zip(table, evaluation.options, strict=True):
        assert row.usd_per_month is not None
        assert row.tco_usd is not None
        figures = (row.usd_per_month.p50, row.usd_per_month.p10, row.usd_per_month.p90, row.tco_usd.p50)
        assert all(f" {figure:,.0f} " in f"{line} " for figure in figures), line
    files = files_write(decided, tmp_path / "demo")
    assert [file.name for file in files] == ["recommendation.pdf", "evaluation.json", "case.json", "calibration.json"]
    pdf, *texts = (file.read_bytes() for file in files)
    issued = Recommendation.objects.get()
    kept = (issued.evaluation_json, issued.case_json, decided.record.canonical_json if decided.record else "")
    assert [text.decode() for text in texts] == list(kept)
    assert pdf == bytes(Document.objects.get().content)
    pages = [" ".join(page.extract_text().split()) for page in PdfReader(BytesIO(pdf)).pages]
    squeezed = ["".join(text.split()) for text in (evaluation.verdict.sentence, pages[0])]
    assert squeezed[0] in squeezed[1], "a line may break inside a name"
    assert all(f"{row.usd_per_month.point:,.2f}" in " ".join(pages) for row in evaluation.options if row.usd_per_month)


def test_a_new_measurement_replaces_the_old_one_and_the_same_one_changes_nothing(example: Example) -> None:
    first = decide(example, stored(example))
    example = example_load(str)
    record = stored(example, id="0b9d5a34-3c5f-4a50-9b8e-0f6f5f1f0c12")
    second = decide(example, record)
    assert (first.recommendation.version, second.recommendation.version) == (1, 2)
    first.recommendation.refresh_from_db()
    assert first.recommendation.state == "superseded"
    assert [option.id for option in second.recommendation.case.options].count("cpu") == 1
    third = decide(example_load(str), record)
    assert third.recommendation == second.recommendation


def test_a_record_with_levels_only_is_priced_by_its_grade_and_says_so(example: Example) -> None:
    decided = decide(example, stored(example, no_rate_because="model_misfit"))
    assert decided.option_id == "cpu"
    told = summary(decided)
    assert "No sustainable rate can be stated" in told
    assert "So this machine is priced by the fallback: grade D, " in told
    assert "0.75 x 0.4 requests/s, the most it reached" in told


@pytest.mark.parametrize("reason", ["incomplete", "void"])
def test_without_any_evidence_this_machine_is_left_out_and_the_demo_goes_on(example: Example, reason: str) -> None:
    decide(example, stored(example))  # what an earlier run put in does not stay as if it were new
    decided = decide(example_load(str), stored(example, no_rate_because=reason, complete=reason != "incomplete"))
    assert [row.id for row in decided.recommendation.evaluation.options] == ["today", "alibaba", "h100", "l40s"]
    told = summary(decided)
    assert f"This states no rate (no evidence: {reason}); calibrate again." in told
    assert "So this machine is no option above." in told


def test_a_calibration_that_failed_leaves_this_machine_out_and_no_older_record_behind(
    example: Example, tmp_path: Path
) -> None:
    files_write(decide(example, stored(example)), tmp_path)
    decided = decide(example_load(str), Measurement(None, "The calibration has no result. It was cancelled."))
    assert [row.id for row in decided.recommendation.evaluation.options] == ["today", "alibaba", "h100", "l40s"]
    assert summary(decided).endswith("It was cancelled.\nSo this machine is no option above.")
    assert [file.name for file in files_write(decided, tmp_path)] == [
        "recommendation.pdf",
        "evaluation.json",
        "case.json",
    ]
    assert not (tmp_path / "calibration.json").exists()


def test_the_docs_name_the_objective_of_the_case() -> None:
    slo = json.loads(CASE.read_text())["slo"]
    said = f"({slo['ttft_p95_ms'] / 1000:g} s to the first token, then {slo['tpot_p95_ms']} ms a token)"
    assert said in " ".join(DOCS.read_text().split())
