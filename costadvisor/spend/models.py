"""What the bill says.

    file ─► PendingUpload ─ confirm ─► BillImport ─┬─► SpendLine
            (previewed; nothing else stored)       └─► SpendLine ── superseded_by ─► a later BillImport

A line that a later import revises stays, marked with that import; removing the import brings it back.
"""

from typing import ClassVar

from django.db import models

from costadvisor.accounts.models import Organization, User
from costadvisor.common.fields import MoneyField


class PendingUpload(models.Model):
    """A file between upload and confirmation. Deleted by either answer, and a day later by the next upload."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    created_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    file_name = models.CharField(max_length=255)
    format_name = models.CharField(max_length=40)
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()

    def __str__(self) -> str:
        return self.file_name


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
    cost = MoneyField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    cost_basis = models.CharField(max_length=10, blank=True)

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
