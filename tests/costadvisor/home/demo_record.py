"""The calibration record that the example would get of a machine that held still: 0.25 requests/s at its lengths."""

import json
from pathlib import Path
from typing import Any

from tests.costadvisor.conftest import RECORD

SLO = json.loads(Path("fixtures/demo/case.json").read_text())["slo"]
RATE = {"requests_per_s": 0.25, "low": 0.2, "high": 0.3, "method": "simulated"}


def demo_record(*, no_rate_because: str | None = None, **changes: Any) -> dict[str, Any]:
    """With some of its top fields replaced; `no_rate_because` takes its rate."""
    derived = {
        "max_rate": None if no_rate_because else RATE,
        "no_rate_because": no_rate_because,
        "saturation": RECORD["derived"]["saturation"] | {"requests_per_s": 0.4},
    }
    own = {
        "model": RECORD["model"] | {"name": "SmolLM2-135M-Instruct"},
        "slo": RECORD["slo"] | SLO,
        "workload": RECORD["workload"]
        | {"mean_input_tokens": 1154.69, "mean_output_tokens": 211.11, "burstiness": 0.86},
        "derived": RECORD["derived"] | derived,
    }
    return RECORD | own | changes
