"""What was read of prices since the package was pinned, and an organization's own quotes. Nothing here is overwritten:
a newer price is a newer row, and a quote that no longer holds is withdrawn with its day.
"""

from django.db import models

from costadvisor.accounts.models import Organization, User
from costadvisor.common.fields import MoneyField


class PriceKind(models.TextChoices):
    API = "api", "Model of an API"
    GPU = "gpu", "GPU to rent"


class PriceSource(models.TextChoices):
    GENAI_PRICES = "genai-prices", "genai-prices"
    GPUHUNT = "gpuhunt", "gpuhunt"


class PriceCheck(models.Model):
    """One reading of a price list. `confirmed` names what it listed: those prices are known to hold on `read_on`."""

    source = models.CharField(max_length=20, choices=PriceSource.choices)
    origin = models.CharField(max_length=300)
    sha256 = models.CharField(max_length=64)
    read_on = models.DateField()
    read_at = models.DateTimeField()
    confirmed = models.JSONField()

    class Meta:
        ordering = ("-read_at", "-id")

    def __str__(self) -> str:
        return f"{self.get_source_display()}, read on {self.read_on}"


class PriceChange(models.Model):
    """A price that a reading said anew. `before` is null for one that was not known; `item` is a model or a machine."""

    check_of = models.ForeignKey(PriceCheck, on_delete=models.PROTECT, related_name="changes")
    kind = models.CharField(max_length=3, choices=PriceKind.choices)
    provider = models.CharField(max_length=120)
    item = models.CharField(max_length=200)
    region = models.CharField(max_length=120, blank=True)
    plan = models.CharField(max_length=20, blank=True)
    valid_from = models.DateField()
    before = models.JSONField(null=True)
    after = models.JSONField()

    class Meta:
        ordering = ("kind", "provider", "item", "region", "plan", "id")
        constraints = (
            models.UniqueConstraint(
                fields=["check_of", "kind", "provider", "item", "region", "plan"], name="price_change_once_a_check"
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider} / {self.item} from {self.valid_from}"


class Quote(models.Model):
    """A price that the organization was offered, in USD and the unit of its name; `usd_per_hour` is of a machine with
    its `gpus`. `as_entered` keeps the figures in the unit they were given in."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="quotes")
    kind = models.CharField(max_length=3, choices=PriceKind.choices)
    provider = models.CharField(max_length=120)
    item = models.CharField(max_length=200)
    plan = models.CharField(max_length=20, blank=True)
    input_usd_per_mtok = MoneyField(null=True)
    cached_input_usd_per_mtok = MoneyField(null=True)
    output_usd_per_mtok = MoneyField(null=True)
    batch_discount = MoneyField(null=True)
    usd_per_hour = MoneyField(null=True)
    gpus = models.PositiveSmallIntegerField(null=True)
    as_entered = models.CharField(max_length=200)
    valid_from = models.DateField()
    valid_to = models.DateField(null=True)
    source = models.CharField(max_length=200)
    file_name = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-created_at", "-id")
        constraints = (
            models.CheckConstraint(condition=models.Q(kind__in=PriceKind.values), name="quote_kind_known"),
            models.CheckConstraint(
                condition=models.Q(valid_to=None) | models.Q(valid_to__gte=models.F("valid_from")),
                name="quote_ends_after_it_starts",
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider} / {self.item}"

    @property
    def plan_words(self) -> str:
        return self.plan.replace("_", " ")
