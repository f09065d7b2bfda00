"""Calibration jobs, and the records they bring.

                                     requeue (reaper, or a worker that is shut down)
                                  ┌───────────────┐
              enqueue             ▼     claim     │      succeed
    draft ───────────────────► queued ─────────► running ─────────► succeeded
      │                           │               │  │     fail
      │ cancel                    │ cancel        │  └────────────► failed
      └───────────────────────────┴───────────────┴───────────────► cancelled

The row is the truth; a message of the broker only carries its id and the number of the attempt. Whoever claims a job
holds its lease until `leased_until`: every later write names the lease's token, and one that names an old token
changes nothing.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

from django.db import models

from costadvisor.accounts.models import Organization, User
from costadvisor.calibration.progress import Progress
from costadvisor.common.fields import MoneyField
from costadvisor.workloads.models import Workload
from engine.calibrate.protocol.ask import TIERS
from engine.calibrate.record import Record

SECONDS_IN_HOUR = 3600


class JobState(models.TextChoices):
    DRAFT = "draft", "Draft"
    QUEUED = "queued", "Waiting for a worker"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Measured"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


UNFINISHED = (JobState.DRAFT, JobState.QUEUED, JobState.RUNNING)


class Device(models.TextChoices):
    AUTO = "auto", "The worker's GPU, or its CPU"
    CPU = "cpu", "CPU"
    CUDA = "cuda", "NVIDIA GPU"


_USUAL_MINUTES: dict[str, float] = {name: tier.minutes for name, tier in TIERS.items()}


class Tier(models.TextChoices):
    """How thorough; the minutes are the engine's own (`TIERS`), unless somebody gives others."""

    QUICK = "quick", "Quick: predicted, one level verified"
    STANDARD = "standard", "Standard: measured to within 5 %"
    CAREFUL = "careful", "Careful: to within 3 %, bursts too"

    @property
    def usual_minutes(self) -> float:
        return _USUAL_MINUTES[self.value]


class FailureCode(models.TextChoices):
    REFUSED = "refused", "The engine refused the request"
    ENGINE_FAILED = "engine_failed", "The engine broke down"
    OUT_OF_TIME = "out_of_time", "The time limit came first"
    OVERDUE = "overdue", "The engine did not end in time and was stopped"
    BAD_RECORD = "bad_record", "The record cannot be used"
    MODEL_MISSING = "model_missing", "The model is not on the worker's machine"
    BUDGET_SPENT = "budget_spent", "Earlier attempts spent the budget"
    WORKER_LOST = "worker_lost", "The worker was lost"
    INTERNAL = "internal", "An error of our own"


class CalibrationJob(models.Model):
    """An order to measure, how far it is, and what became of it. Money stands here: a record knows none."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="calibration_jobs")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    # What is to be measured. The workload may change afterwards, so the job has its own copy.
    workload = models.ForeignKey(Workload, on_delete=models.SET_NULL, null=True, related_name="+")
    workload_name = models.CharField(max_length=120)
    lengths = models.JSONField()
    ttft_p95_ms = models.FloatField()
    tpot_p95_ms = models.FloatField()
    model_name = models.CharField(max_length=200)
    device = models.CharField(max_length=10, choices=Device.choices)
    tier = models.CharField(max_length=10, choices=Tier.choices)
    max_minutes = models.FloatField()

    # What it may cost. None: not known, or no cap.
    usd_per_hour = MoneyField(null=True)
    provider = models.CharField(max_length=120, blank=True)
    region = models.CharField(max_length=120, blank=True)
    budget_usd = MoneyField(null=True)

    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.DRAFT)
    attempts = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    cancel_requested = models.BooleanField(default=False)
    queued_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)

    # The attempt that runs, or ran last.
    lease_token = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    worker_id = models.CharField(max_length=300, blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    earlier_seconds = models.FloatField(default=0)
    progress_json = models.JSONField(null=True)

    failure_code = models.CharField(max_length=20, choices=FailureCode.choices, blank=True)
    failure_message = models.CharField(max_length=1000, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=["state", "leased_until"], name="calibration_job_leases"),)
        constraints = (
            models.CheckConstraint(condition=models.Q(state__in=JobState.values), name="calibration_state_known"),
            models.CheckConstraint(
                condition=models.Q(attempts__lte=models.F("max_attempts")), name="calibration_attempts_bounded"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    state=JobState.RUNNING,
                    lease_token__isnull=False,
                    leased_until__isnull=False,
                    started_at__isnull=False,
                )
                | ~models.Q(state=JobState.RUNNING) & models.Q(lease_token=None, leased_until=None),
                name="calibration_running_has_lease",
            ),
            models.CheckConstraint(
                condition=models.Q(state=JobState.FAILED) ^ models.Q(failure_code=""),
                name="calibration_failed_has_code",
            ),
        )

    def __str__(self) -> str:
        return f"{self.model_name} for {self.workload_name}"

    @property
    def is_unfinished(self) -> bool:
        return self.state in UNFINISHED

    @property
    def progress(self) -> Progress | None:
        return None if self.progress_json is None else Progress.model_validate(self.progress_json)

    @property
    def longest_seconds(self) -> float:
        """The most that one attempt may take, within its own limit and what earlier ones left of the budget."""
        limit = self.max_minutes * 60.0
        if self.budget_usd is None or not self.usd_per_hour:
            return limit
        affordable = float(self.budget_usd / self.usd_per_hour) * SECONDS_IN_HOUR
        return max(0.0, min(limit, affordable - self.earlier_seconds))

    def seconds_used(self, now: datetime) -> float:
        """Of all attempts together."""
        if self.started_at is None:
            return self.earlier_seconds
        running = (self.finished_at or now) - self.started_at
        return self.earlier_seconds + max(timedelta(0), running).total_seconds()

    def usd_used(self, now: datetime) -> Decimal | None:
        return self.usd_for(self.seconds_used(now))

    def usd_for(self, seconds: float) -> Decimal | None:
        """None while the price is not known."""
        return None if self.usd_per_hour is None else self.usd_per_hour * Decimal(seconds) / SECONDS_IN_HOUR


class CalibrationRecordQuerySet(models.QuerySet["CalibrationRecord"]):
    def update(self, **_: Any) -> NoReturn:
        raise TypeError("Calibration records are immutable.")

    def delete(self) -> NoReturn:
        raise TypeError("Calibration records are immutable.")


class CalibrationRecord(models.Model):
    """A `costadvisor.calibration/1`, known by the hash of its canonical JSON. The other columns repeat it for lists.

    It came from `job`, or from the file `file_name` that `created_by` imported.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="calibration_records")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    job = models.OneToOneField(CalibrationJob, on_delete=models.CASCADE, null=True, related_name="record")
    file_name = models.CharField(max_length=255, blank=True)
    sha256 = models.CharField(max_length=64)
    canonical_json = models.TextField()
    grade = models.CharField(max_length=1, blank=True)
    device = models.CharField(max_length=10)
    hardware = models.CharField(max_length=250)
    model_name = models.CharField(max_length=200)
    tokens_processed = models.BigIntegerField()
    requests_per_s = models.FloatField(null=True)
    requests_per_s_low = models.FloatField(null=True)
    requests_per_s_high = models.FloatField(null=True)

    objects = CalibrationRecordQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=["organization", "sha256"], name="calibration_record_unique"),
            models.CheckConstraint(
                condition=models.Q(job=None) ^ models.Q(file_name=""), name="calibration_record_has_origin"
            ),
        )

    def __str__(self) -> str:
        return f"{self.model_name} on {self.hardware}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError("Calibration records are immutable.")
        super().save(*args, **kwargs)

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("Calibration records are immutable.")

    @property
    def content(self) -> Record:
        return Record.from_json(self.canonical_json)
