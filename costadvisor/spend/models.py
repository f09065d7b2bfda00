"""What the bill says.

    file, chunks ─► PendingUpload ─ confirm ─► BillImport ─┬─► SpendLine ── superseded_by ─► a later BillImport
    ProviderKey ─► BillPull ──┘ (previewed; nothing else   └─► RequestChunk, of a log with a row a request
                                 stored)

A line that a later import revises stays, marked with that import; removing the import brings it back.
"""

from datetime import date, timedelta
from decimal import Decimal
from typing import ClassVar

from django.db import models

from costadvisor.accounts.models import Organization, User
from costadvisor.common.fields import MoneyField
from costadvisor.spend.pulling.reports import APIS
from costadvisor.spend.rates import Rate


class UploadState(models.TextChoices):
    RECEIVING = "receiving", "Being sent"
    READING = "reading", "Being read"
    UNKNOWN = "unknown", "Of a kind we do not know"
    READY = "ready", "Read"
    STORING = "storing", "Being stored"
    STORED = "stored", "Stored"
    FAILED = "failed", "Could not be read"


class PendingUpload(models.Model):
    """A file on its way to be stored. Deleted when it is discarded, and a day later by the next upload.

        receiving ─► reading ─┬─► ready ─► storing ─► stored, as `bill_import`
        (by the API only)     ├─► unknown ─► ready  (its columns named)
                              └─► failed

    What was understood lies in its folder (see `staging`), not in the database; `summary` is `staging.Summary`.
    `origin` says who sent it where no person did. `failure` of one that is ready: why it was not stored.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    created_by = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    origin = models.CharField(max_length=160, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    file_name = models.CharField(max_length=255)
    format_name = models.CharField(max_length=40, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    received_bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64)
    folder = models.CharField(max_length=32)
    state = models.CharField(max_length=10, choices=UploadState, default=UploadState.READING)
    failure = models.CharField(max_length=500, blank=True)
    summary = models.JSONField(default=dict)
    bill_import = models.ForeignKey("BillImport", on_delete=models.CASCADE, null=True, related_name="+")

    def __str__(self) -> str:
        return self.file_name


class Provider(models.TextChoices):
    """Whose bills can be fetched; what is asked of each is in `pulling.reports`."""

    OPENAI = "openai", "OpenAI"
    ANTHROPIC = "anthropic", "Anthropic"
    OPENROUTER = "openrouter", "OpenRouter"


class ProviderKey(models.Model):
    """An organization's key to a provider's billing API, sealed: see `provider_keys`. It is never shown again."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    provider = models.CharField(max_length=20, choices=Provider)
    sealed = models.TextField()
    last_four = models.CharField(max_length=4)
    since = models.DateField()
    set_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    set_at = models.DateTimeField()

    class Meta:
        ordering = ("provider",)
        constraints = (models.UniqueConstraint(fields=["organization", "provider"], name="spend_provider_key_unique"),)

    def __str__(self) -> str:
        return f"{self.get_provider_display()} ••••{self.last_four}"

    @property
    def is_refused(self) -> bool:
        """For every report: only another key helps."""
        return all(pull.state == PullState.REFUSED for pull in self.pulls.all())


class PullState(models.TextChoices):
    IDLE = "idle", "Not fetched yet"
    RUNNING = "running", "Being fetched"
    WAITING = "waiting", "Goes on later"
    STORED = "stored", "Stored"
    UNCHANGED = "unchanged", "Nothing new"
    HELD = "held", "Waits for your word"
    REFUSED = "refused", "The key was refused"
    FAILED = "failed", "Failed"


class BillPull(models.Model):
    """One report fetched by a key, again and again: pages into a file, and the file stored like an uploaded one.

    `lease` names the process that is at it, last heard of at `heard_of_at`. While pages are missing, `cursor` is the
    one to ask for next and `file_bytes` of the file in `folder` are whole pages of the days from `first_day` until
    before `end_day`. Everything before `done_until` was fetched.
    """

    key = models.ForeignKey(ProviderKey, on_delete=models.CASCADE, related_name="pulls")
    report = models.CharField(max_length=40)
    state = models.CharField(max_length=10, choices=PullState, default=PullState.IDLE)
    message = models.CharField(max_length=500, blank=True)
    lease = models.CharField(max_length=32, blank=True)
    heard_of_at = models.DateTimeField(null=True)
    next_at = models.DateTimeField(null=True)
    done_until = models.DateField(null=True)
    first_day = models.DateField()
    end_day = models.DateField()
    folder = models.CharField(max_length=32, blank=True)
    cursor = models.CharField(max_length=2000, blank=True)
    pages = models.PositiveIntegerField(default=0)
    file_bytes = models.BigIntegerField(default=0)
    upload = models.ForeignKey(PendingUpload, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ("key", "report")
        constraints = (models.UniqueConstraint(fields=["key", "report"], name="spend_bill_pull_unique"),)

    def __str__(self) -> str:
        return self.report

    @property
    def label(self) -> str:
        return APIS[self.key.provider].report(self.report).label

    @property
    def last_day(self) -> date | None:
        return None if self.done_until is None else self.done_until - timedelta(days=1)


class ExchangeRate(models.Model):
    """A `rates.Rate` that a person confirmed. One that is corrected stays, marked with when another took its place."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    currency = models.CharField(max_length=3)
    month = models.DateField()
    usd = models.CharField(max_length=30)  # a decimal, to the last digit that was given
    as_of = models.DateField()
    source = models.CharField(max_length=200)
    confirmed_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    origin = models.CharField(max_length=160, blank=True)
    confirmed_at = models.DateTimeField()
    replaced_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-month", "currency", "-confirmed_at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=["organization", "currency", "month"],
                condition=models.Q(replaced_at=None),
                name="spend_exchange_rate_current_unique",
            ),
        )

    def __str__(self) -> str:
        return f"{self.rate}"

    @property
    def rate(self) -> Rate:
        return Rate(self.currency, self.month, Decimal(self.usd), self.as_of, self.source)


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
    origin = models.CharField(max_length=160, blank=True)
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
    list_cost = MoneyField(null=True)
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
