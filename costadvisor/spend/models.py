"""What the bill says.

    file ─► PendingUpload ─ confirm ─► BillImport ─┬─► SpendLine ── superseded_by ─► a later BillImport
            (previewed; nothing else stored)       └─► RequestChunk, of a log with a row a request

A line that a later import revises stays, marked with that import; removing the import brings it back.
"""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from costadvisor.accounts.models import Organization, User
from costadvisor.common.fields import MoneyField


class UploadState(models.TextChoices):
    READING = "reading", "Being read"
    UNKNOWN = "unknown", "Of a kind we do not know"
    READY = "ready", "Read"
    FAILED = "failed", "Could not be read"


class PendingUpload(models.Model):
    """A file between upload and confirmation. Deleted by either answer, and a day later by the next upload.

    What was understood lies in its folder (see `staging`), not in the database; `summary` is `staging.Summary`.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    created_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    file_name = models.CharField(max_length=255)
    format_name = models.CharField(max_length=40, blank=True)
    sha256 = models.CharField(max_length=64)
    folder = models.CharField(max_length=32)
    state = models.CharField(max_length=10, choices=UploadState, default=UploadState.READING)
    progress = models.FloatField(default=0)
    heard_of_at = models.DateTimeField(default=timezone.now)
    failure = models.CharField(max_length=500, blank=True)
    summary = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.file_name


class ColumnMapping(models.Model):
    """How an organization reads a CSV of its own, remembered by the columns of its header."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    columns_sha256 = models.CharField(max_length=64)
    choices = models.JSONField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["organization", "columns_sha256"], name="spend_column_mapping_unique"),
        )

    def __str__(self) -> str:
        return self.columns_sha256[:12]


class BillImport(models.Model):
    """One confirmed file or typed figure. The file itself is not kept, only its hash."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="bill_imports")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    file_name = models.CharField(max_length=255, blank=True)
    format_name = models.CharField(max_length=40)
    sha256 = models.CharField(max_length=64, blank=True)
    rows_added = models.PositiveIntegerField()
    rows_unchanged = models.PositiveIntegerField(default=0)
    rows_revised = models.PositiveIntegerField(default=0)
    lines_left_out = models.PositiveIntegerField(default=0)
    # Imports that hold rows which this file had too: they cannot be removed before this one.
    leans_on = models.ManyToManyField("self", symmetrical=False, related_name="leaned_on_by")

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.file_name or "Typed figure"


class CurrentLineManager(models.Manager["SpendLine"]):
    def get_queryset(self) -> "models.QuerySet[SpendLine]":
        return super().get_queryset().filter(superseded_by=None)


class SpendLine(models.Model):
    """A `formats.UsageRow` as stored. `ordinal` tells rows of the same identity in one file apart."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    bill_import = models.ForeignKey(BillImport, on_delete=models.CASCADE, related_name="lines")
    superseded_by = models.ForeignKey(BillImport, on_delete=models.SET_NULL, null=True, related_name="superseded")
    identity = models.CharField(max_length=64)
    ordinal = models.PositiveIntegerField()

    month = models.DateField()
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    source = models.CharField(max_length=40)
    provider = models.CharField(max_length=200)
    model = models.CharField(max_length=200, blank=True)
    scope = models.CharField(max_length=401, blank=True)
    tier = models.CharField(max_length=200, blank=True)
    batch = models.BooleanField(null=True)
    requests = models.BigIntegerField(null=True)
    input_uncached = models.BigIntegerField(null=True)
    cache_read = models.BigIntegerField(null=True)
    cache_write_5m = models.BigIntegerField(null=True)
    cache_write_1h = models.BigIntegerField(null=True)
    output = models.BigIntegerField(null=True)
    reasoning = models.BigIntegerField(null=True)
    charge = models.CharField(max_length=10, default="usage")
    cost = MoneyField(null=True)
    # What a billionth cannot hold of the cost, written out; empty for most. The cost is the sum of both.
    cost_rest = models.CharField(max_length=50, blank=True)
    billed_cost = MoneyField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    cost_basis = models.CharField(max_length=10, blank=True)
    invoice_month = models.CharField(max_length=7, blank=True)

    objects: ClassVar[models.Manager["SpendLine"]] = models.Manager()
    current: ClassVar[CurrentLineManager] = CurrentLineManager()

    class Meta:
        indexes = (models.Index(fields=["organization", "month"], name="spend_line_by_month"),)
        constraints = (
            models.UniqueConstraint(
                fields=["organization", "identity", "ordinal"],
                condition=models.Q(superseded_by=None),
                name="spend_line_current_unique",
            ),
            models.CheckConstraint(
                condition=models.Q(cost=None, currency="") | models.Q(cost__isnull=False) & ~models.Q(currency=""),
                name="spend_line_cost_has_currency",
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider} {self.model} {self.month:%Y-%m}"


class RequestChunk(models.Model):
    """Requests of a log, some ten thousand of one import: a Parquet file of `formats.figures.REQUEST` and figures.

    Kept for what sums cannot tell: whether a later export has the same request, lengths, arrivals, latency.
    """

    bill_import = models.ForeignKey(BillImport, on_delete=models.CASCADE, related_name="request_chunks")
    source = models.CharField(max_length=40)
    first_arrival = models.DateTimeField()
    last_arrival = models.DateTimeField()
    requests = models.PositiveIntegerField()
    content = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.requests} requests of {self.source}"
