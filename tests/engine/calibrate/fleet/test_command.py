"""The command: a table and a file from a record, the same bytes for the same question, one clear line for a bad one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.calibrate.fleet.__main__ import main

DEMAND = ["--requests-per-second", "0.2"]
QUICK = ["--minutes-per-hour", "1", "--replicas", "1"]


@pytest.fixture
def shape(tmp_path: Path) -> Path:
    """Traffic from 8 to 20 o'clock, none at night; Sunday's last hour is too much for one replica."""
    path = tmp_path / "shape.json"
    rates = [0.4 if 8 <= hour % 24 < 20 else 0.0 for hour in range(168)]
    rates[-1] = 40.0
    path.write_text(json.dumps(rates))
    return path


def test_a_week_from_a_record(record_file: Path, shape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = record_file.with_name("fleet.json")
    asked = [str(record_file), "--hourly-shape", str(shape), *QUICK, "--out", str(out)]
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert "a sample: 60 s of each hour, after 60 s of warm-in" in printed
    days = [line for line in printed.splitlines() if line[:3] in ("Mon", "Sun")]
    assert days[0].split() == ["Mon", *["."] * 8, *["100"] * 12, *["."] * 4]
    assert int(days[1].split()[-1]) < 10
    result = json.loads(out.read_text())
    assert result["schema"] == "costadvisor.fleet/1"
    assert len(result["hours"]) == 168
    assert result["total"]["replica_hours_billed"] == pytest.approx(168), "a sample is billed by the hour it stands for"
    busy, quiet = result["hours"][-1], result["hours"][8]
    assert quiet["estimate"]["fluid_replicas"] == quiet["estimate"]["erlang_c_replicas"] == 1
    assert busy["estimate"]["fluid_replicas"] == 5, "40 x 1.15 / 10"
    assert busy["estimate"]["erlang_c_ttft_met_share"] == 0
    assert quiet["served"]["ttft_ms"]["p95"] is None, "too few requests to show one"
    fluid, erlang, simulated = result["compared"]
    assert [one["hours_missed"] for one in (fluid, erlang, simulated)] == [1, 1, 1]
    assert fluid["replica_hours"] == 7 * 12 + 5
    first = out.read_bytes()
    assert main(asked) == 0
    assert out.read_bytes() == first
    assert "usd" not in first.decode().lower()


def test_scaling_and_losses_take_whole_hours(record_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = record_file.with_name("fleet.json")
    more = ["--min-replicas", "1", "--max-replicas", "3", "--spot-losses-per-hour", "0.1", "--overflow-queue", "9"]
    asked = [str(record_file), "--requests-per-second", "0.02", "--replicas", "1", "--out", str(out), *more]
    assert main(asked) == 0
    assert "sample" not in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result["counted_s_per_hour"] == 3600
    assert result["ask"]["scale_up_delay_s"] == pytest.approx(1.405, abs=0.001), "the record's cold start"
    assert result["lost_replicas"] > 0


def test_a_trace_is_replayed(record_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.jsonl"
    rows = [{"timestamp": 500 * n, "input_length": 100, "output_length": 10} for n in range(200)]
    trace.write_text("\n".join(map(json.dumps, rows)))
    assert main([str(record_file), "--trace", str(trace), "--replicas", "1"]) == 0
    printed = capsys.readouterr().out
    assert "200 arrived" in printed
    assert "\nd1   " in printed


BAD: list[tuple[list[str], str]] = [
    (["--replicas", "1"], "give either --trace FILE, or --requests-per-second"),
    ([*DEMAND, "--trace", "t.csv", "--replicas", "1"], "give either --trace FILE"),
    ([*DEMAND, "--replicas", "0"], "--replicas is 0; it must be a whole number from 1 up"),
    ([*DEMAND, "--replicas", "1", "--min-replicas", "1"], "give both --min-replicas and --max-replicas"),
    ([*DEMAND, "--replicas", "4", "--min-replicas", "1", "--max-replicas", "2"], "at most --max-replicas 2"),
    ([*DEMAND, "--replicas", "1", "--spot-losses-per-hour", "-1"], "--spot-losses-per-hour is -1"),
    ([*DEMAND, "--replicas", "1", "--overflow-queue", "0"], "--overflow-queue is 0"),
    ([*DEMAND, "--replicas", "1", "--minutes-per-hour", "61"], "--minutes-per-hour is 61"),
    ([*DEMAND, *QUICK, "--spot-losses-per-hour", "1"], "it must be 60"),
    (["--requests-per-second", "nan", "--replicas", "1"], "--requests-per-second is nan"),
    ([*DEMAND, "--replicas", "1", "--headroom", "inf"], "--headroom is inf"),
    ([*DEMAND, "--replicas", "1", "--seed", "-1"], "--seed is -1"),
    ([*DEMAND, "--replicas", "1", "--out", "nowhere/fleet.json"], "--out: folder nowhere does not exist"),
    (["--trace", "none.csv", "--replicas", "1"], "trace none.csv can't be read"),
    (["--trace", "t.csv", "--replicas", "1", "--minutes-per-hour", "3"], "don't go with --trace"),
]


@pytest.mark.parametrize(("asked", "said"), BAD)
def test_a_bad_question_is_refused(
    record_file: Path, asked: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(record_file), *asked]) == 2
    streams = capsys.readouterr()
    assert said in streams.err
    assert streams.err.count("\n") == 1
    assert streams.out == ""


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("derived", "max_rate"), None, "derived.max_rate of the record is null (unknown)"),
        (("derived", "step_model"), None, "derived.step_model of the record is null"),
        (("workload", "prefix_hit_share"), 0.4, "workload.prefix_hit_share of the record is 0.4"),
        (("engine", "num_blocks"), None, "engine.num_blocks of the record is null"),
        (("workload", "mix"), None, "the record's lengths came from distributions; give them again with --workload"),
        (("workload", "mix"), [{"input": 9000, "output": 9, "weight": 1.0}], "holds 8192 of one request"),
        (("cold_start",), None, "give --scale-up-delay-s"),
    ],
)
def test_a_record_that_does_not_do_is_refused(
    plain: dict[str, Any],
    place: tuple[str, ...],
    value: Any,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    part = plain if len(place) == 1 else plain[place[0]]
    part[place[-1]] = value
    if place[-1] == "mix" and value is None:
        part["kind"] = "distribution"
    if place[-1] == "max_rate":
        plain["derived"]["no_rate_because"] = "unknown"
    path = tmp_path / "record.json"
    path.write_text(json.dumps(plain))
    losses = ["--spot-losses-per-hour", "1"] if place == ("cold_start",) else []
    assert main([str(path), *DEMAND, "--replicas", "1", *losses]) == 2
    assert said in capsys.readouterr().err


def test_the_command_stays_light() -> None:
    code = "import engine.calibrate.fleet.__main__, sys; print(*{'torch', 'transformers', 'django'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
