"""The decision's benchmark: that its case is the one it speaks of, and that its file says what was printed."""

import json
from pathlib import Path

import pytest

from benchmarks import decision
from costadvisor.economics import evaluate, parse_case


@pytest.mark.parametrize(("week", "differing"), [("a day repeated", 24), ("168 hours differ", 168)])
def test_eight_options_are_priced_over_36_months(week: str, differing: int) -> None:
    parsed = parse_case(decision.case(week, 40))
    found = evaluate(parsed)
    assert parsed.horizon_months == 36
    assert len(found.options) == 8
    assert all(option.tco_usd for option in found.options)
    weights = decision.WEEKS[week]
    assert len(set(weights)) == differing if isinstance(weights, list) else week == "a day repeated"


def test_what_is_printed_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "decision.json"
    monkeypatch.setattr("sys.argv", ["decision", "--draws", "40", "--rounds", "1", "--out", str(out)])
    decision.main()
    rows = json.loads(out.read_text())["rows"]
    printed = capsys.readouterr().out.splitlines()[1:]
    assert [row["week"] for row in rows] == list(decision.WEEKS)
    assert all(line.endswith(row["sha256"][:12]) for line, row in zip(printed, rows, strict=True))
    assert all(row["answer_s"] > row["draws_s"] > 0 for row in rows)
