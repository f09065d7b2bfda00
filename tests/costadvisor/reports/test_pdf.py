"""The recommendation on paper, made from the demo's case and from cases that lack something."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from costadvisor.decisions.advise import Advice, advise
from costadvisor.decisions.assumptions import assumptions, assumptions_csv
from costadvisor.decisions.content import content_of
from costadvisor.decisions.resolve import case_resolve
from costadvisor.decisions.text import percent
from costadvisor.economics import case_bytes, evaluate, parse_case
from costadvisor.reports.pdf import recommendation_pdf

DEMO = Path("fixtures/demo/case.json")


@pytest.fixture(scope="module")
def demo() -> Advice:
    return advise(DEMO)


@pytest.fixture(scope="module")
def pdf(demo: Advice) -> bytes:
    return recommendation_pdf(demo.evaluation, demo.case)


def words(reader: PdfReader, page: int) -> str:
    return " ".join(reader.pages[page].extract_text().split())


def squeezed(text: str) -> str:
    """Without spaces: a line may break inside a name."""
    return "".join(text.split())


def test_page_one_has_the_answer_its_figures_and_the_box_to_sign(demo: Advice, pdf: bytes) -> None:
    reader = PdfReader(BytesIO(pdf))
    page = words(reader, 0)
    assert squeezed(demo.evaluation.verdict.sentence) in squeezed(page)
    assert "Illustrative data" in page
    assert all(word in page for word in ("$2,780", "$7,770", "Prepared by", "Reviewed by", "Approved by"))
    assert f"case {demo.evaluation.case_sha256[:12]}" in page
    assert f"page 1 of {len(reader.pages)}" in page


def test_every_figure_on_paper_is_the_evaluations(demo: Advice, pdf: bytes) -> None:
    reader = PdfReader(BytesIO(pdf))
    page = words(reader, 1)
    for row in demo.evaluation.options:
        assert row.usd_per_month is not None
        assert f"{row.usd_per_month.p50:,.0f}" in page
        assert f"{row.usd_per_month.point:,.2f}" in page
        assert all(f"{abs(line.usd_per_month):,.2f}" in page for line in row.lines)


def test_nothing_on_paper_is_named_by_a_pointer_or_an_id(demo: Advice, pdf: bytes) -> None:
    reader = PdfReader(BytesIO(pdf))
    paper = " ".join(words(reader, number) for number in range(len(reader.pages)))
    assert not re.search(r"/(options|workload|drift|slo|constraints)/", paper)
    assert not re.search(r"\b(h100|l40s|(?<!-)hosted)\b", paper), "ids of the case"
    assert "rent an hour for Qwen3-8B on H100" in paper


def test_the_same_case_prints_the_same_bytes(demo: Advice, pdf: bytes) -> None:
    again = advise(DEMO)
    assert recommendation_pdf(again.evaluation, again.case) == pdf


def test_a_machine_without_fonts_prints_the_same_bytes(pdf: bytes, tmp_path: Path) -> None:
    (tmp_path / "fonts.conf").write_text(f"<fontconfig><cachedir>{tmp_path}</cachedir></fontconfig>")
    out = tmp_path / "out.pdf"
    subprocess.run(
        [sys.executable, "manage.py", "advise", str(DEMO), "--pdf", str(out)],
        env={"FONTCONFIG_FILE": str(tmp_path / "fonts.conf")}, check=True, capture_output=True,
    )  # fmt: skip
    assert out.read_bytes() == pdf


def test_it_is_tagged_for_readers_who_cannot_see_it(demo: Advice, pdf: bytes) -> None:
    reader = PdfReader(BytesIO(pdf))
    root: Any = reader.trailer["/Root"]
    assert root["/Lang"] == "en"
    assert bool(root["/MarkInfo"]["/Marked"])
    assert b"pdfuaid" in root["/Metadata"].get_data()
    described = [element["/Alt"] for element in elements(root["/StructTreeRoot"]) if "/Alt" in element]
    assert len(described) == 3
    assert any(text.startswith("Demand peaks at") for text in described)


def elements(node: Any) -> list[Any]:
    """Every structure element below this one."""
    node = node.get_object() if hasattr(node, "get_object") else node
    if isinstance(node, list):
        return [found for child in node for found in elements(child)]
    if not isinstance(node, dict) or "/K" not in node:
        return [node] if isinstance(node, dict) else []
    return [node, *elements(node["/K"])]


def test_the_case_and_its_assumptions_are_attached(demo: Advice, pdf: bytes) -> None:
    attached = PdfReader(BytesIO(pdf)).attachments
    assert set(attached) == {"case.json", "assumptions.csv"}
    assert attached["case.json"][0] == case_bytes(demo.case)
    assert evaluate(parse_case(attached["case.json"][0].decode())) == demo.evaluation
    rows = list(csv.DictReader(StringIO(attached["assumptions.csv"][0].decode())))
    by_pointer = {row["pointer"]: row for row in rows}
    rent = by_pointer["/options/h100/hardware/usd_per_hour"]
    assert (rent["value"], rent["grade"], rent["as_of"]) == ("3.99", "D", "2026-11-09")
    assert float(rent["low"]) < 3.99 < float(rent["high"])
    assert by_pointer["/drift/api_price_per_year"]["impact"]


def test_a_formula_in_a_source_is_text_in_the_spreadsheet(demo: Advice) -> None:
    rows = assumptions(demo.evaluation, demo.case)
    loaded = replace(rows[0], source="=cmd|' /C calc'!A0", value="-3.5", low="+1", high="@x")
    cells = list(csv.reader(StringIO(assumptions_csv((loaded,)))))[1]
    assert "'=cmd|' /C calc'!A0" in cells
    assert "-3.5" in cells
    assert "+1" in cells
    assert "'@x" in cells


def case_with(**changes: Any) -> Advice:
    """A small case: today's API, and one fleet unless the options are changed."""
    written: Any = {
        "schema": "costadvisor.case/1",
        "as_of": "2026-11-10",
        "draws": 200,
        "workload": {"requests_per_month": 1e6, "input_tokens": {"mean": 1024}, "output_tokens": {"mean": 128}},
        "slo": {"ttft_p95_ms": 1000, "tpot_p95_ms": 50},
        "options": [
            {"id": "today", "kind": "api", "provider": "openai", "model": "gpt-4.1-mini", "baseline": True},
            {
                "id": "h100", "kind": "self_host", "model": "Qwen/Qwen3-8B", "hardware": {"gpu": "H100"},
                "capacity": {"record": "published:qwen3-8b-h100-bf16-1024x128"},
            },
        ],
    }  # fmt: skip
    case = case_resolve(parse_case(json.loads(json.dumps(written | changes))), folder=None)
    return Advice(case, evaluate(case))


def test_an_api_alone_still_prints() -> None:
    alone = case_with(
        options=[{"id": "today", "kind": "api", "provider": "openai", "model": "gpt-4.1-mini", "baseline": True}]
    )
    reader = PdfReader(BytesIO(recommendation_pdf(alone.evaluation, alone.case)))
    assert any(
        "No self-hosted option, so no capacity to plan." in words(reader, page) for page in range(len(reader.pages))
    )


def test_what_is_unknown_prints_as_a_word_and_never_as_0() -> None:
    unreachable = case_with(slo={"ttft_p95_ms": 1, "tpot_p95_ms": 50})
    fleet = content_of(unreachable.evaluation, unreachable.case).options[1]
    assert (fleet.month, fleet.total, fleet.usd_per_mtok) == ("unknown", "unknown", "unknown")
    assert fleet.refusals
    assert recommendation_pdf(unreachable.evaluation, unreachable.case)


def test_text_from_a_case_cannot_become_markup_or_fetch() -> None:
    named = case_with(name="<img src=http://127.0.0.1:9/x><script>alert(1)</script>")
    page = words(PdfReader(BytesIO(recommendation_pdf(named.evaluation, named.case))), 0)
    assert "<script>alert(1)</script>" in page


def test_a_share_of_draws_is_never_printed_as_certain() -> None:
    assert [percent(share).replace("\u00a0", " ") for share in (0.0, 0.004, 0.934, 0.999, 1.0)] == [
        "under 1 %",
        "under 1 %",
        "93 %",
        "over 99 %",
        "over 99 %",
    ]
