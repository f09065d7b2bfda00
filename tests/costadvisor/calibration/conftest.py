"""A workload of Acme's, a model folder, and drafts made of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from costadvisor.accounts.models import Organization, User
from costadvisor.calibration.models import CalibrationJob, Device, Tier
from costadvisor.calibration.services.jobs import JobSpec, job_create
from costadvisor.celery import app
from costadvisor.workloads.models import Workload
from costadvisor.workloads.profile import Profile, assumed
from costadvisor.workloads.services import workload_create

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SPEC: dict[str, Any] = {"model_name": "tiny", "device": Device.CPU, "tier": Tier.QUICK, "max_minutes": 5}

MakeJob = Callable[..., CalibrationJob]


@pytest.fixture(autouse=True)
def folders(settings: Any, tmp_path: Path) -> Path:
    """One model, tiny, and a room's folder of its own for each test."""
    model = tmp_path / "models" / "tiny"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    settings.CALIBRATION_MODELS = [model]
    return tmp_path


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, str]]:
    """The messages given to the broker: job, attempt, queue."""
    messages: list[tuple[int, int, str]] = []

    def keep(name: str, *, kwargs: dict[str, int], queue: str) -> None:
        messages.append((kwargs["job_id"], kwargs["attempt"], queue))

    monkeypatch.setattr(app, "send_task", keep)
    return messages


@pytest.fixture
def workload(acme: Organization, alice: User) -> Workload:
    profile = Profile(requests_per_month=assumed(1_200_000.0), input_tokens=assumed(64.0), output_tokens=assumed(16.0))
    return workload_create(organization=acme, actor=alice, name="Support assistant", profile=profile)


@pytest.fixture
def make_job(acme: Organization, alice: User, workload: Workload) -> MakeJob:
    def make(**spec: Any) -> CalibrationJob:
        return job_create(organization=acme, actor=alice, workload=workload, spec=JobSpec(**(SPEC | spec)))

    return make
