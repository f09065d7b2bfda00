"""A replica with a known step time, as a model and as a record's file."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.calibrate.fleet.ask import ReplicaModel
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import TERMS, StepModel
from engine.config import SchedulerConfig

GPU_LIKE = StepModel(a_decode=8.0, a_prefill=9.0, mixed=0.5, b=0.05, c=0.02, d=0.00002, e=0.0000001)
LIMITS = SchedulerConfig(max_batch=32, token_budget=2048, block_size=64, num_blocks=2048, max_model_len=8192)
FIRST_FORM = Path(__file__).parents[1] / "record_of_the_first_form.json"


@pytest.fixture
def model() -> ReplicaModel:
    return ReplicaModel(LIMITS, GPU_LIKE.ms, Slo(500, 20), plan_requests_per_s=10.0)


@pytest.fixture
def plain() -> dict[str, Any]:
    """A record as JSON: lengths 512/128, the step model of `model`, a machine 5 % slower than it, cold start 1.4 s."""
    raw: dict[str, Any] = json.loads(FIRST_FORM.read_text())
    raw["engine"] |= {name: getattr(LIMITS, name) for name in LIMITS.__slots__ if name != "prefix_cache"}
    raw["workload"]["mix"] = [{"input": 512, "output": 128, "weight": 1.0}]
    raw["slo"] = {"ttft_p95_ms": 500.0, "tpot_p95_ms": 20.0, "preset": None}
    raw["derived"]["step_model"]["coefficients"] = {term: getattr(GPU_LIKE, term) for term in TERMS}
    raw["derived"]["step_model"] |= {"terms": TERMS, "unsteadiness": 0.05}
    raw["derived"]["max_rate"] = {"requests_per_s": 11.0, "low": 10.0, "high": 12.0, "method": "simulated"}
    raw["derived"]["no_rate_because"] = None
    return raw


@pytest.fixture
def record_file(plain: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(plain))
    return path
