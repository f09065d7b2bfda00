"""Folders of a test's own, and a calibration record as the engine writes it, for whatever reads records."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.calibrate.record import Record

MakeRecord = Callable[..., Record]


@pytest.fixture(autouse=True)
def own_folders(settings: Any, tmp_path: Path) -> None:
    """Uploads and measured rows stay with the test: several run at once, and none writes beside the user's own."""
    settings.BILL_UPLOADS_DIR = tmp_path / "uploads"
    settings.CALIBRATION_DIR = tmp_path / "calibration"


@pytest.fixture
def make_record() -> MakeRecord:
    """Makes a record, with some of its top fields replaced."""

    def make(**changes: Any) -> Record:
        return Record.from_json(json.dumps(RECORD | changes))

    return make


NOTHING = {"n": 0, "mean": None, "p50": None, "p95": None, "p99": None}
LEVEL = {
    "id": "L1", "purpose": "step_map", "mode": "closed", "concurrency": 4, "offered_requests_per_s": None,
    "burstiness": None, "seed": 1, "started_at_s": 3.0, "duration_s": 6.0, "window_s": 5.0, "complete": True,
    "attempted": 80, "finished": 76, "meeting_slo": 76, "input_tokens": 5_000, "output_tokens": 1_250,
    "output_tokens_per_s": 250.0, "total_tokens_per_s": 1250.0, "goodput_requests_per_s": 15.2,
    "ttft_ms": {"n": 76, "mean": 30.0, "p50": 29.0, "p95": 41.0, "p99": None},
    "tpot_ms": {"n": 76, "mean": 14.5, "p50": 14.0, "p95": 17.0, "p99": None},
    "itl_gap_ms": NOTHING, "e2e_ms": NOTHING, "steps": 400, "decode_sequences_mean": 3.9, "kv_use_max": 0.1,
    "preemptions": 0, "prefix_hit_share": 0.0, "client_cpu_share": None, "other_cpu_share": 0.02, "gpu": None,
}  # fmt: skip
RECORD: dict[str, Any] = {
    "schema": "costadvisor.calibration/1", "id": "0b9d5a34-3c5f-4a50-9b8e-0f6f5f1f0c11",
    "created_at": "2026-11-21T12:00:00Z", "complete": True,
    "source": {"tool": "costadvisor", "version": "0.1.0", "commit": "b843ecd", "dirty": False, "file_sha256": None},
    "protocol": "quick/1", "tier": "quick", "seed": 0, "wall_s": {"load": 2.5, "step_map": 30.0},
    "hardware": {
        "device": "cpu", "gpus": [],
        "cpu": {"model": "Example CPU", "cores": 2, "memory_gib": 8.0, "load_1m": 0.4},
    },
    "software": {
        "platform": "Linux", "python": "3.11.7", "torch": "2.13.0", "triton": None, "attention_backend": "reference",
        "cuda_graphs": None,
    },
    "model": {
        "name": "tiny", "revision": None, "family": "llama", "layers": 2, "hidden": 32, "heads": 4, "kv_heads": 2,
        "head_dim": 8, "intermediate": 64, "vocab": 320, "dtype": "float32", "kv_dtype": "float32",
        "quantization": None, "weights": "dummy",
    },
    "engine": {
        "block_size": 16, "num_blocks": 200, "max_batch": 64, "token_budget": 512, "max_model_len": 512,
        "prefix_cache": True, "tensor_parallel": 1, "threads": 2,
    },
    "workload": {
        "kind": "fixed", "mean_input_tokens": 64.0, "mean_output_tokens": 16.0,
        "mix": [{"input": 64, "output": 16, "weight": 1.0}], "trace": None, "trace_sha256": None,
        "burstiness": 1.0, "prefix_hit_share": 0.0,
    },
    "achieved": {"requests": 76, "mean_input_tokens": 64.0, "mean_output_tokens": 16.0, "prefix_hit_share": 0.0},
    "slo": {"ttft_p95_ms": 1000.0, "tpot_p95_ms": 50.0, "preset": None},
    "smoke": {"alone_repeats": True, "batched_repeats": True, "tokens": 24, "batched_equal_alone": 24},
    "cold_start": {"seconds": 3.1, "load_s": 2.5, "first_token_s": 0.6},
    "soak": {"seconds": 4.0, "slope_percent_per_min": 0.3, "settled": True},
    "levels": [LEVEL, LEVEL | {"id": "L2", "concurrency": 8, "output_tokens_per_s": 320.0, "output_tokens": 1_600}],
    "derived": {
        "saturation": {
            "level": "L2", "concurrency": 8, "requests_per_s": 20.0, "output_tokens_per_s": 320.0,
            "total_tokens_per_s": 1_600.0,
        },
        "max_rate": {"requests_per_s": 14.2, "low": 13.4, "high": 15.1, "method": "simulated"},
        "no_rate_because": None, "binding": "tpot_p95_ms", "alone_ttft_p95_ms": 20.0, "alone_tpot_p95_ms": 9.0,
        "curve": [], "simulated_requests": 10_000, "simulated_requests_per_wall_s": 900.0, "step_model": None,
        "verification": None, "drift": 0.01, "energy_j_per_token": None,
    },
    "flags": [
        {"code": "not_verified", "level": None, "value": None, "limit": None, "message": "no open-loop level ran"},
        {"code": "cpu_contended", "level": "L2", "value": 0.14, "limit": 0.1, "message": "other processes took 14 %"},
    ],
    "raw": None,
}  # fmt: skip
