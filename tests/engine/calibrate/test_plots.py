"""A record's charts: what they say, and that each drawing holds it."""

import hashlib
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

from engine.calibrate.plot import main
from engine.calibrate.plots.chart import Axis
from engine.calibrate.plots.html import page
from engine.calibrate.plots.of_record import charts
from engine.calibrate.plots.residuals import Residual, residual_chart, residuals_read
from engine.calibrate.record import Record
from engine.errors import InputError
from tests.engine.calibrate.gpu_record import changed, made


@pytest.fixture
def record() -> Record:
    return made()[0]


@pytest.fixture
def file(tmp_path: Path, record: Record) -> Path:
    """The record, its raw rows beside it."""
    path = tmp_path / "h100.json"
    path.write_text(record.to_json())
    path.with_name("h100.raw.jsonl.gz").write_bytes(made()[1])
    return path


def drawn(file: Path, width: int = 80) -> str:
    out = io.StringIO()
    assert main([str(file)], Console(file=out, width=width, color_system=None)) == 0
    return out.getvalue()


def test_charts_of_a_record_say_its_figures(record: Record) -> None:
    throughput, ttft, tpot = charts(record)
    rate = record.derived.max_rate
    assert rate is not None
    assert len(throughput.series[0].x) > 40, "the front is a curve"
    assert throughput.series[1].labels[0] == "1"
    assert f"to {max(level.concurrency or 0 for level in record.levels)} requests at a time" in throughput.sentence
    for chart, limit in ((ttft, 120), (tpot, 30)):
        assert f"SLO {limit} ms" in [rule.label for rule in chart.rules]
        assert chart.span is not None
        assert (chart.span.start, chart.span.end) == (rate.low, rate.high)
        assert chart.y.end > limit
    assert "is that the replica is busy all the time" in ttft.sentence
    limiting = list(charts(changed(record, derived={"binding": "tpot_p95_ms"})))
    assert "What limits the rate to" in limiting[1].sentence
    assert limiting[1].sentence.endswith("is the time per output token.")
    assert "This is what limits the rate to" in limiting[2].sentence


def test_curves_carry_the_interval_over_runs(record: Record) -> None:
    several = [point for point in record.derived.curve if point.runs > 2]
    assert several
    for point in several:
        assert point.ttft_p95_low_ms is not None
        assert point.ttft_p95_high_ms is not None
        assert point.ttft_p95_low_ms <= point.ttft_p95_ms <= point.ttft_p95_high_ms
    assert all(point.tpot_p95_low_ms is None for point in record.derived.curve if point.runs == 1)
    _, ttft, _ = charts(record)
    assert any(
        low < y < high for low, y, high in zip(ttft.series[0].low, ttft.series[0].y, ttft.series[0].high, strict=True)
    )


def test_without_a_rate_the_chart_says_why(record: Record) -> None:
    chart = list(charts(changed(record, derived={"max_rate": None, "no_rate_because": "void"})))[1]
    assert chart.sentence.startswith("The record states no rate: no evidence: void.")
    assert chart.span is None


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_terminal_is_filled_and_never_overrun(file: Path, width: int) -> None:
    text = drawn(file, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert len(re.findall("[\u2801-\u28ff]", text)) > 60, "lines are drawn"
    for words in ("Throughput against time", "SLO 120 ms", "SLO 30 ms", "λ*", "+8 %", "○ measured"):
        assert words in " ".join(text.split())


def test_residuals_are_those_of_the_steps_fitted_on(record: Record, file: Path) -> None:
    found = residuals_read(record, file)
    fit = record.derived.step_model
    assert fit is not None
    assert len(found) == fit.steps
    assert {step.level for step in found} == set(fit.levels)
    assert max(abs(step.error) for step in found) < 0.01, "the simulated server is its own model"


def test_what_residuals_say() -> None:
    found = [Residual("L1", False, 10.0, error / 100) for error in range(-10, 11)] + [Residual("L1", True, 20.0, 0.5)]
    chart = residual_chart(found)
    assert "Half of 22 steps took within 5.0 % of what the model says, 95 % of them within 10.0 %" in chart.sentence
    assert "in all they took 4.3 % longer" in chart.sentence
    assert chart.table.rows == (
        ("L1", "decodes only", "21", "-9.0 %", "+0.0 %", "+9.0 %"),
        ("L1", "with prompt tokens", "1", "+50.0 %", "+50.0 %", "+50.0 %"),
    )


@pytest.mark.parametrize("damage", ["gone", "changed", "none"])
def test_raw_rows_that_are_not_the_records_are_left_out_with_the_reason(
    file: Path, record: Record, damage: str
) -> None:
    raw = file.with_name("h100.raw.jsonl.gz")
    if damage == "gone":
        raw.unlink()
    elif damage == "changed":
        raw.write_bytes(made()[1] + b" ")
    else:
        record = changed(record, raw=None)
        file.write_text(record.to_json())
    with pytest.raises(InputError):
        residuals_read(record, file)
    assert ("Step times are not drawn: " in drawn(file)) is (damage != "none")


def test_rows_of_another_form_are_refused(file: Path, record: Record) -> None:
    raw = file.with_name("h100.raw.jsonl.gz")
    raw.write_bytes(b"no gzip")
    named = {"file": raw.name, "sha256": hashlib.sha256(b"no gzip").hexdigest(), "rows": 1}
    with pytest.raises(InputError, match="holds no raw rows"):
        residuals_read(changed(record, raw=named), file)


def test_html_holds_everything_and_asks_nobody(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.html"
    assert main([str(file), "--html", str(out)], Console(file=io.StringIO(), width=80)) == 0
    text = out.read_text()
    assert "Plotly.newPlot" in text
    assert len(text) > 1_000_000, "plotly.js is inside"
    ours = text[: text.index("<script>")] + text[text.index("</head>") :]
    assert re.findall(r'(?:src|href)="|url\(|https?://', ours) == []
    assert ours.count("<table>") == ours.count('class="plot"') == 4
    for chart in charts(made()[0]):
        assert chart.title in ours
        assert chart.table.rows[0][0] in ours


def test_html_escapes_what_a_record_says() -> None:
    text = page("<b>a model</b>", ["</script><i>"], list(charts(made()[0])))
    assert "<b>a model" not in text
    assert "</script><i>" not in text


def test_svg_is_the_same_twice(file: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "1.svg", tmp_path / "2.svg"
    for out in (one, two):
        assert main([str(file), "--svg", str(out)], Console(file=io.StringIO(), width=80)) == 0
    assert one.read_bytes() == two.read_bytes()
    assert ET.fromstring(one.read_text()).tag.endswith("svg")  # noqa: S314 - our own file


def test_nothing_to_draw_and_nowhere_to_write(
    record: Record, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text(changed(record, levels=[], flags=[], raw=None, derived={"curve": []}).to_json())
    assert main([str(empty)]) == 2
    assert "it has no levels and no curve" in capsys.readouterr().err
    assert main([str(file), "--html", str(tmp_path / "none" / "o.html")]) == 2
    refused = capsys.readouterr()
    assert "can't be written" in refused.err
    assert refused.out == "", "nothing half-done"


def test_ticks_are_round_and_few() -> None:
    assert Axis("", 0, 57).ticks()[-1] == (50, "50")
    assert [text for _, text in Axis("", -0.3, 0.3, percent=True).ticks()][:4] == ["-30 %", "-20 %", "-10 %", "0 %"]
    for end in (0.013, 0.9, 7, 123, 5_400_000):
        assert 3 <= len(Axis("", 0, end).ticks()) <= 8


@pytest.mark.parametrize("module", ["front", "comparison", "roofline", "memory", "plots.of_record", "share"])
def test_no_torch_and_no_plotly_without_need(module: str) -> None:
    code = (
        f"import sys, engine.calibrate.{module}; "
        "print({'torch', 'triton', 'plotly', 'matplotlib', 'django'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
