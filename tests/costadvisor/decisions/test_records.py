"""Capacities from calibration records, through the public face."""

import json
from pathlib import Path
from typing import Any

import pytest

from costadvisor.decisions.resolve import case_resolve
from costadvisor.economics import Case, CaseError, parse_case
from engine.calibrate.record import Record

Json = dict[str, Any]
MODEL = "SmolLM2-135M-Instruct"
RATE = {"requests_per_s": 0.25, "low": 0.2, "high": 0.3, "method": "simulated"}
SATURATION = {
    "level": "n4", "concurrency": 4, "requests_per_s": 0.4, "output_tokens_per_s": 80.0, "total_tokens_per_s": None,
}  # fmt: skip
L40S = {"name": "L40S", "memory_gib": 45.0} | dict.fromkeys(
    ["driver", "power_limit_w", "sm_clock_max_mhz", "ecc", "mig"]
)
SCALED = {
    "method": "slow_motion", "from_gpu": "H100 SXM", "to_gpu": "L40S", "bandwidth_ratio": 0.26, "flops_ratio": 0.37,
    "widened": 1.25, "weights_ms": None, "kv_tokens": 1000,
}  # fmt: skip
UNKNOWN_SHAPE = (
    "revision", "family", "layers", "hidden", "heads", "kv_heads", "head_dim", "intermediate", "vocab", "dtype",
    "kv_dtype", "quantization",
)  # fmt: skip


def record(**changes: Any) -> Json:
    """A quick record of a CPU: 0.25 requests/s at 1,155 tokens in and 211 out."""
    plain: Json = {
        "schema": "costadvisor.calibration/1",
        "id": "6f2b5f0a-58f8-4d5c-9a3e-0a4f3c5d7e11",
        "created_at": "2026-11-20T10:00:00Z",
        "complete": True,
        "source": {"tool": "costadvisor", "version": "0.1.0"},
        "protocol": "1",
        "tier": "quick",
        "seed": 7,
        "wall_s": {"step_map": 60.0},
        "hardware": {"device": "cpu", "gpus": [],
                     "cpu": {"model": "Xeon", "cores": 2, "memory_gib": 8.0, "load_1m": 0.1}},
        "software": dict.fromkeys(["platform", "python", "torch", "triton", "attention_backend", "cuda_graphs"]),
        "model": {"name": MODEL, "weights": None} | dict.fromkeys(UNKNOWN_SHAPE),
        "engine": dict.fromkeys(
            ["block_size", "num_blocks", "max_batch", "token_budget", "max_model_len", "prefix_cache", "threads"]
        ) | {"tensor_parallel": 1},
        "workload": {"kind": "fixed", "mean_input_tokens": 1155.0, "mean_output_tokens": 211.0, "mix": None,
                     "trace": None, "trace_sha256": None, "burstiness": 1.0, "prefix_hit_share": 0.0},
        "achieved": {"requests": 40, "mean_input_tokens": 1155.0, "mean_output_tokens": 211.0,
                     "prefix_hit_share": 0.0},
        "slo": {"ttft_p95_ms": 10_000.0, "tpot_p95_ms": 200.0},
        "smoke": None,
        "cold_start": None,
        "soak": None,
        "levels": [],
        "derived": {"saturation": SATURATION, "max_rate": RATE, "no_rate_because": None, "binding": "ttft_p95_ms",
                    "alone_ttft_p95_ms": 2000.0, "alone_tpot_p95_ms": 30.0, "curve": [], "simulated_requests": None,
                    "simulated_requests_per_wall_s": None, "step_model": None, "verification": None, "drift": None,
                    "energy_j_per_token": None},
        "flags": [],
        "raw": None,
    }  # fmt: skip
    for part, values in changes.items():
        plain[part] = plain[part] | values
    return plain


def resolve(folder: Path, measured: Json, **changes: Any) -> Case:
    """A case whose only self-hosted option rests on this record."""
    (folder / "record.json").write_text(json.dumps(measured))
    machine: Json = {
        "id": "machine", "kind": "self_host", "model": f"HuggingFaceTB/{MODEL}",
        "hardware": {"gpu": "CPU"}, "capacity": {"record": "record.json"},
    }  # fmt: skip
    case: Json = {
        "schema": "costadvisor.case/1",
        "as_of": "2026-11-10",
        "workload": {"requests_per_month": 1e6, "input_tokens": {"mean": 1155}, "output_tokens": {"mean": 211}},
        "slo": {"ttft_p95_ms": 10_000, "tpot_p95_ms": 200},
        "options": [
            {"id": "today", "kind": "api", "provider": "openai", "model": "gpt-4.1-mini", "baseline": True},
            machine | changes.pop("option", {}),
        ],
    }
    return case_resolve(parse_case(case | changes), folder=folder)


def capacity(case: Case) -> Any:
    return next(option for option in case.options if option.kind == "self_host").capacity


def test_a_record_gives_its_rate_interval_grade_and_hash(tmp_path: Path) -> None:
    found = resolve(tmp_path, record())
    rate = capacity(found)
    assert [float(bound) for bound in (rate.low, rate.requests_per_s, rate.high)] == [0.2, 0.25, 0.3]
    assert rate.grade == "B"
    assert rate.record.startswith("sha256:")
    evidence = found.evidence["/options/machine/capacity"]
    assert (evidence.grade, evidence.basis, str(evidence.as_of)) == ("B", "measured", "2026-11-20")
    assert evidence.source.startswith(f"calibration record {rate.record[7:19]}, our engine on CPU, 2 cores, quick tier")


def test_a_record_scaled_from_another_gpu_is_an_estimate(tmp_path: Path) -> None:
    plain = record(source={"scaled_from": "a" * 64}, hardware={"device": "cuda", "cpu": None, "gpus": [L40S]})
    plain["derived"] |= {"saturation": None, "scaled": SCALED}
    option = {"hardware": {"gpu": "L40S", "usd_per_hour": "1.09"}}
    found = resolve(tmp_path, plain, option=option)
    evidence = found.evidence["/options/machine/capacity"]
    assert (evidence.grade, evidence.basis) == ("C", "estimated")
    assert "1 x L40S, from one of H100 SXM: scaled from H100 SXM to L40S by their datasheets, not measured" in (
        evidence.source
    )
    assert float(capacity(found).low) == 0.2


def test_other_lengths_scale_the_rate_and_lower_the_grade(tmp_path: Path) -> None:
    twice = {"requests_per_month": 1e6, "input_tokens": {"mean": 2310}, "output_tokens": {"mean": 211}}
    rate = capacity(resolve(tmp_path, record(), workload=twice))
    assert (float(rate.requests_per_s), float(rate.low), rate.grade) == (0.125, 0.1, "C")
    rate = capacity(resolve(tmp_path, record(), workload=twice | {"output_tokens": {"mean": 633}}))
    assert (float(rate.high), rate.grade) == (0.1, "D")


def test_a_token_ratio_counts_in_this_models_tokens(tmp_path: Path) -> None:
    longer = {"token_ratio": {"input": 1.25, "output": 1.25}}
    assert float(capacity(resolve(tmp_path, record(), option=longer)).requests_per_s) == 0.2


def test_arrivals_burstier_than_measured_are_left_to_be_derated(tmp_path: Path) -> None:
    bursty = {"requests_per_month": 1e6, "input_tokens": {"mean": 1155}, "output_tokens": {"mean": 211}}
    assert capacity(resolve(tmp_path, record(), workload=bursty | {"burstiness": 0.5})).record is None
    measured_so = record(workload={"burstiness": 0.5})
    assert capacity(resolve(tmp_path, measured_so, workload=bursty | {"burstiness": 0.5})).record


@pytest.mark.parametrize(("method", "grade"), [("imported", "C"), ("derated", "D")])
def test_an_import_states_a_rate_and_leaves_its_range_to_the_grade(tmp_path: Path, method: str, grade: str) -> None:
    imported = record(
        source={"tool": "AIPerf", "version": "0.13.0", "file_sha256": "0" * 64},
        workload={"kind": "means", "burstiness": 1.0 if grade == "C" else None, "prefix_hit_share": None},
        derived={"max_rate": RATE | {"method": method}},
    )
    imported["tier"] = None
    found = resolve(tmp_path, imported)
    rate = capacity(found)
    assert (float(rate.requests_per_s), rate.low, rate.high, rate.grade) == (0.25, None, None, grade)
    evidence = found.evidence["/options/machine/capacity"]
    assert (evidence.grade, evidence.basis) == (grade, "imported")
    assert "AIPerf on CPU" in evidence.source


def test_an_objective_out_of_reach_is_no_capacity(tmp_path: Path) -> None:
    unreachable = record(derived={"max_rate": None, "no_rate_because": "slo_unreachable"})
    assert float(capacity(resolve(tmp_path, unreachable)).requests_per_s) == 0


def test_a_closed_loop_alone_is_derated_and_graded_d(tmp_path: Path) -> None:
    found = resolve(tmp_path, record(derived={"max_rate": None, "no_rate_because": "model_misfit"}))
    assert float(capacity(found).requests_per_s) == pytest.approx(0.3)
    assert capacity(found).grade == "D"
    assert "0.75 x 0.4 requests/s" in found.evidence["/options/machine/capacity"].source


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "Qwen3-8B"}}, "was measured with Qwen3-8B, not with HuggingFaceTB/SmolLM2"),
        ({"hardware": {"device": "cuda"}}, "was measured on CPU, 2 cores, not on 1 x CPU"),
        ({"slo": {"ttft_p95_ms": 20_000.0}}, "was measured for a p95 of 20000 ms TTFT and 200 ms TPOT, looser than"),
        ({"derived": {"max_rate": None, "no_rate_because": "void"}}, r"states no rate \(no evidence: void"),
        ({"derived": {"max_rate": None}}, "calibration record: derived: Value error, exactly one of max_rate and"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_by_its_path(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CaseError, match=rf"^/options/machine/capacity/record: {message}"):
        resolve(tmp_path, record(**changes))


def test_a_gpu_record_serves_that_gpu_only(tmp_path: Path) -> None:
    gpu = dict.fromkeys(["memory_gib", "driver", "power_limit_w", "sm_clock_max_mhz", "ecc", "mig"])
    h100 = record(hardware={"device": "cuda", "gpus": [{"name": "NVIDIA H100 80GB HBM3", **gpu}]})
    assert capacity(resolve(tmp_path, h100, option={"hardware": {"gpu": "H100"}}))
    with pytest.raises(CaseError, match="was measured on 1 x NVIDIA H100 80GB HBM3, not on 1 x L40S"):
        resolve(tmp_path, h100, option={"hardware": {"gpu": "L40S"}})
    with pytest.raises(CaseError, match="not on 2 x H100"):
        resolve(tmp_path, h100, option={"hardware": {"gpu": "H100", "gpus_per_replica": 2}})


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"/record: .*nothing\.json can't be read \(No such file or directory\)"):
        resolve(tmp_path, record(), option={"capacity": {"record": "nothing.json"}})


def test_a_stored_record_is_found_by_its_hash(tmp_path: Path) -> None:
    measured = Record.from_json(json.dumps(record()))
    case: Json = {
        "schema": "costadvisor.case/1",
        "as_of": "2026-11-10",
        "workload": {"requests_per_month": 1e6, "input_tokens": {"mean": 1155}, "output_tokens": {"mean": 211}},
        "options": [
            {"id": "today", "kind": "api", "provider": "openai", "model": "gpt-4.1-mini", "baseline": True},
            {"id": "machine", "kind": "self_host", "model": MODEL, "hardware": {"gpu": "CPU"},
             "capacity": {"record": f"sha256:{measured.sha256}"}},
        ],
    }  # fmt: skip
    found = case_resolve(parse_case(case), folder=None, records={measured.sha256: measured}.get)
    assert float(capacity(found).requests_per_s) == 0.25
    with pytest.raises(CaseError, match=r"^/options/machine/capacity/record: 'sha256:.* is no stored"):
        case_resolve(parse_case(case), folder=None)
