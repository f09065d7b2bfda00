"""A record on another GPU: each term by what bounds it, bounds that hold published pairs, memory, and refusals."""

import csv
import itertools
import json
from collections import defaultdict
from pathlib import Path

import pytest

from engine.calibrate import capacity
from engine.calibrate.gpu_facts import gpu_facts
from engine.calibrate.record import Record, record_read
from engine.calibrate.record_derived import CurvePoint
from engine.calibrate.roofline import WIDENED, Ratios, bounds, coarse_rate, saturated_per_s, scaled_model, slow_motion
from engine.calibrate.scale import main
from engine.calibrate.scaling import scale
from engine.calibrate.simulator import StepTime
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.calibrate.workload import workload_fixed
from engine.config import ModelShape, SchedulerConfig
from engine.errors import InputError
from engine.footprint import read_bytes
from tests.engine.calibrate.gpu_record import H100, LIMITS, QWEN, changed, made, on_gpus

CPU_RECORD = Path(__file__).with_name("record_of_the_first_form.json")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "MOST_REQUESTS", 60)
    monkeypatch.setattr(capacity, "LEAST_REQUESTS", 60)


@pytest.fixture
def record() -> Record:
    return made()[0]


def test_published_pairs_lie_within_the_widened_ratios() -> None:
    """Throughput of one model, engine and load on two GPUs, in both directions: what WIDENED rests on."""
    rows = defaultdict(list)
    with Path("fixtures/gpu_pairs.csv").open() as file:
        for row in csv.DictReader(file):
            rows[row["engine"], row["model"], row["input_tokens"], row["output_tokens"], row["concurrency"]].append(row)
    outside = []
    for group in rows.values():
        for one, other in itertools.permutations(group, 2):
            ratios = Ratios.between(gpu_facts(one["gpu"]), gpu_facts(other["gpu"]), one["dtype"])
            seen = float(other["output_tokens_per_s"]) / float(one["output_tokens_per_s"])
            low, high = sorted((ratios.bandwidth, ratios.flops))
            outside.append(max(low / seen, seen / high))
            assert ratios.slowest <= seen <= ratios.fastest, (one, other)
    assert len(outside) == 68
    assert max(outside) > 0.95 * WIDENED, "no wider than the pairs ask for"


def test_published_levels_are_predicted_from_another_gpus() -> None:
    """Qwen3-8B in vLLM 0.27.1, closed loop of 1024 tokens in and 256 out: a model that gives the H100's four levels."""
    h100 = StepModel(a_decode=6.58, a_prefill=6.58, mixed=0.3, b=0.00898, c=0.02058, d=5.5e-5, e=1.2e-6)
    with Path("fixtures/gpu_pairs.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "Qwen/Qwen3-8B"]
    published = {(row["gpu"], int(row["concurrency"])): float(row["output_tokens_per_s"]) for row in rows}
    weights_ms = read_bytes(ModelShape.from_folder(QWEN), 2, "none") / 3350e6

    def throughput(step_ms: StepTime, concurrency: int) -> float:
        limits = SchedulerConfig(max_batch=concurrency, token_budget=2048, num_blocks=6400, max_model_len=2048)
        return 256 * saturated_per_s(limits, step_ms, workload_fixed(1024, 256), seed=0)

    for concurrency in (1, 64):
        assert throughput(h100.ms, concurrency) == pytest.approx(published["H100 SXM", concurrency], rel=0.02)
        for gpu in ("A100 80GB SXM", "L40S", "RTX 5090"):
            ratios = Ratios.between(gpu_facts("H100 SXM"), gpu_facts(gpu), None)
            seen = published[gpu, concurrency]
            assert throughput(scaled_model(h100, weights_ms, ratios).ms, concurrency) == pytest.approx(seen, rel=0.18)
            if concurrency > 1:
                least, most = (throughput(step_ms, concurrency) for step_ms in bounds(h100, weights_ms, ratios))
                assert least < seen < most


def test_each_term_is_divided_by_what_bounds_it() -> None:
    scaled = scaled_model(H100, weights_ms=4.5, ratios=Ratios(bandwidth=0.5, flops=0.25))
    assert scaled == StepModel(
        a_decode=2.0 + 4.5 / 0.5,
        a_prefill=2.5 + 4.5 / 0.5,
        mixed=0.4,
        b=0.02 * 4,
        c=0.02 * 4,
        d=1e-4,
        e=6e-7 * 4,
    )
    assert scaled_model(H100, 4.5, Ratios(1.0, 1.0)) == H100
    assert scaled_model(H100, 99.0, Ratios(2.0, 1.0)).a_decode == 3.25, "no more is read than a step takes"


def test_the_bounds_enclose_the_model_on_every_step() -> None:
    ratios = Ratios(0.26, 0.37)
    model, (too_long, too_short) = scaled_model(H100, 4.5, ratios), bounds(H100, 4.5, ratios)
    for work in [(1, 0, 500, 0), (0, 512, 0, 130_000), (32, 480, 17_000, 120_000)]:
        assert too_short(*work) * WIDENED <= model.ms(*work) <= too_long(*work) / WIDENED


def test_saturation_is_what_a_full_batch_gives() -> None:
    """A batch of 32 decodes alone nearly all the time: 32 tokens a step."""
    rate = saturated_per_s(LIMITS, StepModel(10.0, 10.0, 0, 0, 0, 0, 0).ms, workload_fixed(1, 200), seed=0)
    assert rate == pytest.approx(32 / 0.010 / 200, rel=0.03)


def test_slow_motion_is_exact_for_a_machine_slower_in_everything() -> None:
    """Half as fast in all steps: simulated again, or read off the first curve at half the limits."""
    workload = workload_fixed(512, 32)
    search = capacity.Search(LIMITS, workload, Slo(400, 30), 1)
    at_full = saturated_per_s(LIMITS, H100.ms, workload, 1)
    points = [search.point(H100.ms, at_full * share / 20, runs=1) for share in range(21)]
    curve = [
        CurvePoint(requests_per_s=p.rate, runs=1, ttft_p95_ms=p.ttft_p95_ms[0], tpot_p95_ms=p.tpot_p95_ms[0])
        for p in points
    ]
    enough, lengths = 10**9, (512.0, 32.0)
    read, binding = slow_motion(curve, search.slo, 0.5, lengths, enough)
    slower = StepModel(*(2 * getattr(H100, term) for term in StepModel.__slots__))
    assert read == pytest.approx(coarse_rate(search, slower.ms), rel=0.05)
    assert binding in ("ttft_p95_ms", "tpot_p95_ms")
    assert slow_motion(curve, search.slo, 0.1, lengths, enough) == (None, "tpot_p95_ms")
    most, binding = slow_motion(curve, Slo(1e9, 1e9), 3.0, lengths, enough)
    assert most == pytest.approx(3 * at_full)
    assert binding == "saturation"
    four, binding = slow_motion(curve, Slo(1e9, 1e9), 1.0, lengths, 4 * 544)
    assert four is not None
    assert binding == "saturation"
    alone = curve[0]
    assert four < 4 / (alone.ttft_p95_ms + 32 * alone.tpot_p95_ms) * 1000, "room for four requests at once"


def test_a_scaled_record(record: Record) -> None:
    scaled = scale(record, "L40S")
    again = Record.from_json(scaled.to_json())
    assert again == scaled
    how, rate = scaled.derived.scaled, scaled.derived.max_rate
    assert how is not None
    assert rate is not None
    assert record.derived.max_rate is not None
    assert scaled.source.scaled_from == record.sha256
    assert (how.method, how.from_gpu, how.to_gpu) == ("step_model", "H100 SXM", "L40S")
    assert how.weights_ms == pytest.approx((2 * 8.19e9 - 1.245e9) / 3350e9 * 1e3, rel=0.01), "all but the embedding"
    assert scaled.grade.letter == "C"
    assert "not measured" in scaled.grade.basis
    assert 0.26 / 2 < rate.requests_per_s / record.derived.max_rate.requests_per_s < 0.37 * 1.5
    assert rate.low * WIDENED < rate.requests_per_s < rate.high / WIDENED
    assert {flag.code for flag in scaled.flags} == {"not_verified", "unresolved"}
    assert not scaled.levels
    assert [gpu.name for gpu in scaled.hardware.gpus] == ["L40S"]
    assert (scaled.workload, scaled.slo, scaled.model) == (record.workload, record.slo, record.model)


def test_to_a_faster_gpu_and_from_a_wider_interval(record: Record) -> None:
    rate = record.derived.max_rate
    assert rate is not None
    known = {"requests_per_s": rate.requests_per_s, "high": rate.high, "method": "simulated"}
    surer, unsure = (
        scale(changed(record, derived={"max_rate": known | {"low": rate.requests_per_s * share}}), "H200 SXM")
        for share in (1.0, 0.5)
    )
    assert surer.derived.max_rate is not None
    assert unsure.derived.max_rate is not None
    assert surer.derived.max_rate.requests_per_s > rate.requests_per_s
    assert unsure.derived.max_rate.low == pytest.approx(surer.derived.max_rate.low / 2)


def test_memory_limits_the_batch(record: Record) -> None:
    """An L4 holds the weights, and KV for so little that the engine preempts or waits."""
    scaled = scale(changed(record, slo={"ttft_p95_ms": 1e5, "tpot_p95_ms": 1e4}), "L4")
    assert scaled.engine.num_blocks is not None
    assert record.engine.num_blocks is not None
    assert scaled.engine.num_blocks < record.engine.num_blocks / 8
    assert scaled.derived.scaled is not None
    assert scaled.derived.scaled.kv_tokens == (scaled.engine.num_blocks - 1) * 64


def test_an_slo_out_of_reach_states_no_rate(record: Record) -> None:
    never = scale(changed(record, slo={"tpot_p95_ms": 2.0}), "L4")
    assert never.derived.no_rate_because == "slo_unreachable"
    assert never.grade.letter == "C"
    perhaps = scale(changed(record, slo={"tpot_p95_ms": 24.0}), "L40S")
    assert perhaps.derived.max_rate is None
    assert perhaps.derived.no_rate_because == "unknown"
    assert perhaps.grade.letter is None
    assert any("even a lone request can miss tpot_p95_ms" in flag.message for flag in perhaps.flags)


def test_without_a_step_model_the_curve_is_played_in_slow_motion(record: Record) -> None:
    plain = changed(record, derived={"step_model": None})
    scaled = scale(plain, "A100 80GB SXM")
    assert scaled.derived.scaled is not None
    assert scaled.derived.scaled.method == "slow_motion"
    assert scaled.derived.max_rate is not None
    assert record.derived.max_rate is not None
    share = scaled.derived.max_rate.requests_per_s / record.derived.max_rate.requests_per_s
    assert 0.2 < share <= (0.609 * 0.315) ** 0.5 + 0.01


@pytest.mark.parametrize(
    ("parts", "to", "said"),
    [
        ({}, "cpu", "--to cpu: a GPU says nothing of a CPU"),
        ({}, "H100 SXM", "was measured on H100 SXM already"),
        ({}, "Abacus", r"GPU 'Abacus' is not in gpus\.json"),
        ({"hardware": on_gpus()}, "L4", "the record names 0 kinds of GPU"),
        ({"hardware": on_gpus("NVIDIA L4", "NVIDIA H200")}, "L40S", "the record names 2 kinds of GPU"),
        ({"hardware": on_gpus("NVIDIA Z9")}, "L40S", "GPU 'NVIDIA Z9' is not in"),
        ({"model": {"dtype": None}}, "L40S", "does not say in which dtype Qwen3-8B ran"),
        ({"model": {"hidden": None}}, "L40S", "too few numbers of Qwen3-8B to size it by; give --model DIR"),
        ({"model": {"dtype": "float32"}}, "L4", "the model does not fit on 1 × L4"),
        ({"model": {"quantization": "fp8"}}, "A100 80GB SXM", "A100 80GB SXM does not multiply in fp8"),
        ({"workload": {"kind": "trace", "mix": None, "trace": "t.csv", "trace_sha256": "a" * 64}}, "L4", "trace t.csv"),
        (
            {"derived": {"max_rate": None, "no_rate_because": "model_misfit"}},
            "L40S",
            r"the record states no rate \(closed-loop levels only\)",
        ),
    ],
)
def test_what_can_not_be_scaled_is_refused(record: Record, parts: dict[str, object], to: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        scale(changed(record, **parts), to)


def test_a_cpus_record_says_nothing_of_a_gpu() -> None:
    with pytest.raises(InputError, match="measured on a CPU, which says nothing of a GPU"):
        scale(record_read(CPU_RECORD), "L40S")


def test_a_model_folder_fills_in_what_the_record_lacks(record: Record) -> None:
    bare = changed(record, model={"hidden": None, "family": None}, derived={"step_model": None})
    scaled = scale(bare, "H200 SXM", model=QWEN)
    assert scaled.derived.scaled == scale(changed(record, derived={"step_model": None}), "H200 SXM").derived.scaled


def test_a_trace_is_read_again_and_must_be_the_same(record: Record, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n0,512,32\n")
    file = tmp_path / "workload.json"
    file.write_text(json.dumps({"trace": "t.csv"}))
    trace = {"kind": "trace", "mix": None, "trace": "t.csv", "trace_sha256": "a" * 64}
    with pytest.raises(InputError, match="is not what the record was measured with"):
        scale(changed(record, workload=trace), "L40S", workload=file)


def test_the_command_writes_the_canonical_file(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "h100.json", tmp_path / "l40s.json"
    source.write_text(record.to_json())
    assert main([str(source), "--to", "L40S", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    written = record_read(out)
    assert out.read_text() == written.to_json()
    assert f"{written.sha256}  {out}" in shown
    assert "on L40S, bound by" in shown
    assert "grade C: scaled from H100 SXM to L40S" in shown
    assert main([str(out), "--to", "L4", "--out", str(tmp_path / "no.json")]) == 2
    assert "scale the measured one" in capsys.readouterr().err
    assert not (tmp_path / "no.json").exists()
    assert main([str(source), "--to", "L40S", "--out", str(tmp_path / "none" / "r.json")]) == 2
    assert "can't be written" in capsys.readouterr().err
