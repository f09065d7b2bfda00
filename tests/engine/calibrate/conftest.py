"""A simulated server whose step time is known, so that what a calibration finds can be compared with the truth."""

import pytest

from engine.calibrate import capacity
from engine.calibrate.step_model import StepModel
from engine.calibrate.truth import LIMITS, STEP
from engine.config import SchedulerConfig


@pytest.fixture
def few_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a tenth of the requests, so that a whole calibration takes a second."""
    monkeypatch.setattr(capacity, "MOST_REQUESTS", 120)
    monkeypatch.setattr(capacity, "LEAST_REQUESTS", 120)


@pytest.fixture
def truth() -> StepModel:
    return STEP


@pytest.fixture
def limits() -> SchedulerConfig:
    return LIMITS
