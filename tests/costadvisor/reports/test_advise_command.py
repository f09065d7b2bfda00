"""`manage.py advise`, run as its own process: no database, no login, one line for a refusal."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

DEMO = Path("fixtures/demo/case.json")


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "advise", *map(str, arguments)]
    environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": "postgres://nobody:x@127.0.0.1:1/none", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_demos_case_is_decided_without_a_database(tmp_path: Path) -> None:
    done = run(DEMO, "--json", tmp_path / "out.json", "--pdf", tmp_path / "out.pdf")
    assert (done.returncode, done.stderr) == (0, "")
    evaluation: Any = json.loads((tmp_path / "out.json").read_text())
    assert done.stdout.splitlines()[0] == evaluation["verdict"]["sentence"]
    assert evaluation["schema"] == "costadvisor.evaluation/1"
    page = PdfReader(BytesIO((tmp_path / "out.pdf").read_bytes())).pages[0].extract_text()
    assert "".join(evaluation["verdict"]["sentence"].split()) in "".join(page.split()), "whatever line it breaks on"


def test_the_options_stand_side_by_side() -> None:
    headings, today, *_ = run(DEMO).stdout.splitlines()[2:]
    assert " ".join(headings.split()) == "option USD a month p10 to p90 total USD USD per M tokens cheapest in"
    assert today.startswith("gpt-4.1-mini at openai (today)")


def test_a_missing_pango_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "weasyprint.py").write_text("raise OSError('cannot load library libpango-1.0-0')")
    out = tmp_path / "out.json"
    done = run(DEMO, "--json", out, "--pdf", tmp_path / "out.pdf", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, out.exists()) == (2, "", False)
    assert done.stderr.startswith("a PDF needs Pango, which is missing here (cannot load library libpango-1.0-0)")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizon": 36}, "/horizon: is not a key of a case; did you mean horizon_months?"),
        ({"as_of": "soon"}, "/as_of: is 'soon'; must be"),
        ({"options": []}, "/options: is"),
    ],
)
def test_a_refused_case_is_one_line_and_exit_code_2(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    case = tmp_path / "case.json"
    case.write_text(json.dumps(json.loads(DEMO.read_text()) | change))
    done = run(case, "--json", tmp_path / "out.json")
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert (done.stdout, (tmp_path / "out.json").exists()) == ("", False)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    missing = run(tmp_path / "none.json")
    assert missing.returncode == 2
    assert missing.stderr.endswith("none.json: can't be read (No such file or directory); give the path of a case\n")


def test_an_option_with_a_measured_record_joins_the_demo(tmp_path: Path) -> None:
    case: Any = json.loads(DEMO.read_text())
    machine: Any = json.loads(DEMO.with_name("this_machine.json").read_text())
    machine["capacity"] = {"requests_per_s": 0.2, "grade": "B"}
    for key in ("input_tokens", "output_tokens"):
        case["workload"][key]["trace"] = str(Path("fixtures/traces/azure2023_conversation.csv").resolve())
    case["options"].append(machine)
    (tmp_path / "case.json").write_text(json.dumps(case))
    done = run(tmp_path / "case.json", "--json", tmp_path / "out.json")
    assert done.returncode == 0
    row = json.loads((tmp_path / "out.json").read_text())["options"][-1]
    assert (row["allowed"], [refusal["code"] for refusal in row["refusals"]]) == (False, ["quality"])
    assert float(row["usd_per_month"]["p50"]) > 10_000


def test_what_cannot_all_be_written_is_not_written_in_part(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    for unwritable, why in ((tmp_path / "none" / "out.pdf", "its folder is not there"), (tmp_path, "it is a folder")):
        done = run(DEMO, "--json", out, "--pdf", unwritable)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"{unwritable}: can't be written ({why}); give a file in a folder that is there\n"
    assert not out.exists()


def test_a_file_that_is_no_case_is_named(tmp_path: Path) -> None:
    case = tmp_path / "case.json"
    case.write_text("{")
    done = run(case)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{case}: is not JSON (")


def test_an_earlier_case_is_compared(tmp_path: Path) -> None:
    case: Any = json.loads(DEMO.read_text())
    for key in ("input_tokens", "output_tokens"):
        case["workload"][key]["trace"] = str(Path("fixtures/traces/azure2023_conversation.csv").resolve())
    case["workload"]["requests_per_month"] = 20_000_000
    (tmp_path / "new.json").write_text(json.dumps(case))
    done = run(tmp_path / "new.json", "--compare", DEMO)
    assert (done.returncode, done.stderr) == (0, "")
    changed = [line for line in done.stdout.splitlines() if line.startswith("requests a month")]
    assert len(changed) == 1
    assert done.stdout.splitlines()[-1].startswith("After")
    missing = run(DEMO, "--compare", tmp_path / "none.json")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "none.json: can't be read" in missing.stderr
