"""Two records against each other: what differs, and when rates may be set against each other."""

import json
from pathlib import Path

import pytest

from engine.calibrate.compare import main
from engine.calibrate.comparison import compare
from engine.calibrate.record import Record
from engine.calibrate.record_derived import MaxRate
from tests.engine.calibrate.gpu_record import changed, made, on_gpus


@pytest.fixture
def record() -> Record:
    return made()[0]


def at_rate(record: Record, rate: float, low: float, high: float) -> Record:
    stated = MaxRate(requests_per_s=rate, low=low, high=high, method="simulated")
    return changed(record, derived={"max_rate": stated.model_dump(), "no_rate_because": None})


def test_a_record_against_itself_differs_in_nothing(record: Record) -> None:
    same = compare(record, record)
    assert same.differences == ()
    assert same.not_comparable == ()
    assert same.rate is not None
    assert same.rate.ratio == 1
    assert not same.rate.differ
    assert all(a == b for a, b in same.coefficients.values())
    assert all(row.ttft_p95_ms[0] == row.ttft_p95_ms[1] for row in same.curve)


@pytest.mark.parametrize(
    ("b", "differ"),
    [((11.0, 10.5, 11.5), True), ((11.0, 9.0, 12.0), False), ((10.5, 10.0, 11.0), False), ((5.0, 4.0, 6.0), True)],
)
def test_rates_differ_when_their_intervals_leave_no_room(
    record: Record, b: tuple[float, float, float], differ: bool
) -> None:
    found = compare(at_rate(record, 10, 9.5, 10.5), at_rate(record, *b))
    assert found.rate is not None
    assert found.rate.ratio == pytest.approx(b[0] / 10)
    assert found.rate.low < found.rate.ratio < found.rate.high
    assert found.rate.differ is differ
    back = compare(at_rate(record, *b), at_rate(record, 10, 9.5, 10.5)).rate
    assert back is not None
    assert (back.low, back.high) == pytest.approx((1 / found.rate.high, 1 / found.rate.low)), "either way round"


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"slo": {"ttft_p95_ms": 2000.0}}, "the SLO differs: ttft_p95_ms 120 against 2000"),
        ({"workload": {"burstiness": 0.5}}, "arrivals clump differently: burstiness 1.0 against 0.5"),
        ({"workload": {"prefix_hit_share": 0.3}}, "shared prefixes differ: 0.0 against 0.3 of prompt tokens"),
        (
            {"workload": {"mix": [{"input": 512, "output": 64, "weight": 1.0}], "mean_output_tokens": 64.0}},
            "the lengths differ: 512 in and 32 out (fixed) against 512 in and 64 out (fixed)",
        ),
        ({"workload": {"mix": None, "mean_input_tokens": 600.0}}, "the lengths differ"),
    ],
)
def test_rates_are_not_compared_across_workloads_and_slos(
    record: Record, parts: dict[str, object], reason: str
) -> None:
    found = compare(record, changed(record, **parts))
    assert any(line.startswith(reason) for line in found.not_comparable)
    assert found.rate is None
    assert found.curve == ()


def test_means_that_are_close_do_where_the_lengths_are_unknown(record: Record) -> None:
    assert compare(record, changed(record, workload={"mix": None, "mean_input_tokens": 530.0})).not_comparable == ()


def test_differences_are_named_by_field(record: Record) -> None:
    other = changed(record, hardware=on_gpus("NVIDIA L4"), engine={"max_batch": 16})
    fields = {line.field: (line.a, line.b) for line in compare(record, other).differences}
    assert fields == {
        "hardware.gpus.0.name": ("NVIDIA H100 80GB HBM3", "NVIDIA L4"),
        "engine.max_batch": (32, 16),
    }


def test_a_bend_that_only_one_model_has_stands_beside_the_slope_that_goes_straight_on(record: Record) -> None:
    fit = record.derived.step_model
    assert fit is not None
    bent = fit.model_copy(update={"coefficients": fit.coefficients | {"b_4": 9.0, "d_4": 8.0}})
    other = record.model_copy(update={"derived": record.derived.model_copy(update={"step_model": bent})})
    straight, slopes = fit.coefficients, compare(record, other).coefficients
    assert (slopes["b_4"], slopes["d_4"]) == ((straight["b"], 9.0), (straight["d"], 8.0))
    assert compare(other, record).coefficients["b_4"] == (9.0, straight["b"])


def test_what_another_tier_brings_for_its_time(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    careful, quick = tmp_path / "careful.json", tmp_path / "quick.json"
    long, short = dict.fromkeys(record.wall_s, 1000.0), dict.fromkeys(record.wall_s, 100.0)
    careful.write_text(changed(at_rate(record, 10, 9.5, 10.5), tier="careful", wall_s=long).to_json())
    quick.write_text(changed(at_rate(record, 10.4, 9, 12), tier="quick", wall_s=short).to_json())
    assert main([str(careful), str(quick)]) == 0
    shown = capsys.readouterr().out
    assert "B's rate is +4.0 % off that of A, and took 0.1 times as long." in shown
    assert main([str(quick), str(quick)]) == 0
    assert "times as long" not in capsys.readouterr().out


def test_the_command_in_words_and_as_json(record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, far = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.json"
    a.write_text(at_rate(record, 10, 9.5, 10.5).to_json())
    b.write_text(at_rate(record, 20, 19, 21).to_json())
    far.write_text(changed(record, slo={"tpot_p95_ms": 99.0}).to_json())
    assert main([str(a), str(b)]) == 0
    shown = capsys.readouterr().out
    assert "B sustains 2 times the rate of A (95 %: 1.86 to 2.15): they differ." in shown
    assert max(map(len, shown.splitlines())) <= 120
    assert main([str(a), str(b), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["rates_differ"] is True
    assert plain["rate"]["ratio"] == 2
    assert plain["a"]["sha256"] != plain["b"]["sha256"]
    assert main([str(a), str(far)]) == 0
    assert "The rates can't be compared:\n  the SLO differs" in capsys.readouterr().out
    assert main([str(a), str(tmp_path / "none.json")]) == 2
    assert "none.json can't be read" in capsys.readouterr().err
