"""A simulated server whose step time is known, so that what a calibration finds can be compared with the truth."""

import pytest

from engine.calibrate import capacity
from engine.calibrate.step_model import StepModel
from engine.config import ModelShape, SchedulerConfig

TRUTH = StepModel(a_decode=20.0, a_prefill=26.0, mixed=4.0, b=1.5, c=0.12, d=0.002, e=0.00002)
LIMITS = SchedulerConfig(max_batch=32, token_budget=512, block_size=16, num_blocks=4096, max_model_len=4096)
SHAPE = ModelShape.from_config(
    {
        "model_type": "llama",
        "num_attention_heads": 4,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "vocab_size": 300,
        "max_position_embeddings": 4096,
    }
)


@pytest.fixture
def few_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a tenth of the requests, so that a whole calibration takes a second."""
    monkeypatch.setattr(capacity, "MOST_REQUESTS", 120)
    monkeypatch.setattr(capacity, "LEAST_REQUESTS", 120)


@pytest.fixture
def truth() -> StepModel:
    return TRUTH


@pytest.fixture
def limits() -> SchedulerConfig:
    return LIMITS
