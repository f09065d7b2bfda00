"""Real result files (samples/README.md), and runs made of one by changing its figures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.calibrate.ingest import Facts, Given, ingest_files
from engine.calibrate.record import Record
from engine.calibrate.slo import Slo

SAMPLES = Path(__file__).parent / "samples"
GIVEN = Given(facts=Facts(model="SmolLM2-135M-Instruct", gpu="H100 SXM", gpus=1), today="2026-12-01")
LIMITS = Slo(500, 50)


@pytest.fixture
def samples() -> Path:
    return SAMPLES


@pytest.fixture
def read() -> Callable[..., Record]:
    """The record of samples by name."""

    def of(*names: str, given: Given = GIVEN) -> Record:
        return ingest_files([(name, (SAMPLES / name).read_bytes()) for name in names], given)

    return of


@pytest.fixture
def run() -> Callable[..., dict[str, Any]]:
    """A run of vLLM's, 100 requests without their list, with other figures."""
    real: dict[str, Any] = json.loads((SAMPLES / "vllm" / "rate-8.json").read_text())

    def changed(**figures: Any) -> dict[str, Any]:
        return real | {"completed": 100, "total_input_tokens": 12800, "total_output_tokens": 3200} | figures

    return changed


@pytest.fixture
def taken() -> Callable[..., Record]:
    """The record of some runs, for an SLO of 500 ms and 50 ms unless said otherwise."""

    def of(*runs: dict[str, Any], slo: Slo = LIMITS) -> Record:
        files = [(f"run-{at}.json", json.dumps(each).encode()) for at, each in enumerate(runs)]
        return ingest_files(files, Given(facts=GIVEN.facts, slo=slo, today="2026-12-01"))

    return of
