"""A record as an H100 would give it: the protocol on a simulated server, its hardware written in afterwards."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.calibrate import capacity
from engine.calibrate.assemble import raw_rows, record_of
from engine.calibrate.protocol import Ask, calibrate
from engine.calibrate.record import Record
from engine.calibrate.slo import Slo
from engine.calibrate.step_model import StepModel
from engine.calibrate.targets.simulated import SimulatedTarget
from engine.calibrate.workload import workload_fixed
from engine.config import ModelShape, SchedulerConfig

QWEN = Path("fixtures/models/Qwen3-8B")
# By the published series of Qwen3-8B on an H100: 6.5 ms a lone token, of which reading the weights takes 4.5.
H100 = StepModel(a_decode=6.5, a_prefill=7.0, mixed=0.4, b=0.02, c=0.02, d=5e-5, e=6e-7)
LIMITS = SchedulerConfig(max_batch=32, token_budget=2048, num_blocks=6400, max_model_len=40960)
UNKNOWN = {"driver": None, "power_limit_w": None, "sm_clock_max_mhz": None, "ecc": None, "mig": None}
Plain = dict[str, Any]


def on_gpus(*names: str) -> Plain:
    gpus = [{"name": name, "memory_gib": None, **UNKNOWN} for name in names]
    return {"device": "cuda", "cpu": None, "gpus": gpus}


@cache
def made() -> tuple[Record, bytes]:
    """The record, and its raw rows."""
    ask = Ask(ModelShape.from_folder(QWEN), workload_fixed(512, 32), Slo(120, 30), seed=1, max_minutes=2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capacity, "MOST_REQUESTS", 60)
        patch.setattr(capacity, "LEAST_REQUESTS", 60)
        measured = calibrate(ask, SimulatedTarget(LIMITS, H100.ms), lambda: False, lambda *line: None)
    data, raw = raw_rows(measured, "h100.raw.jsonl.gz")
    plain = json.loads(record_of(ask, measured, QWEN, dummy_weights=True, raw=raw).to_json())
    plain["hardware"] = on_gpus("NVIDIA H100 80GB HBM3")
    plain["model"] |= {"dtype": "bfloat16", "kv_dtype": "bfloat16"}
    return Record.from_json(json.dumps(plain)), data


def changed(record: Record, **parts: Any) -> Record:
    """The record with some fields of its parts put differently: `model={"dtype": None}`."""
    plain = json.loads(record.to_json())
    for name, value in parts.items():
        plain[name] = plain[name] | value if isinstance(value, dict) else value
    return Record.from_json(json.dumps(plain))
