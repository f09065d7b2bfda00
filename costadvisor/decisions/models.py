"""Decisions, and the versions of them that people sign.

    Decision ── issue ──► draft ─ prepare ─► prepared ─ review ─► reviewed ─ approve ─► approved
    (changes freely)        │                   │                    │                     │
                            ├───────────────────┴────────────────────┴─────────────────────┤
                            ▼                                                              ▼
                        withdrawn                                                     superseded

A newer version supersedes an unfinished one as soon as it is issued, and an approved one once it is approved itself:
until then the organization's decision stands.
"""

from django.db import models

from costadvisor.accounts.models import Organization, User
from costadvisor.economics import Case, parse_case
from costadvisor.economics.evaluation import Evaluation
from costadvisor.workloads.models import Workload


class Decision(models.Model):
    """A question kept open: `case` is a `costadvisor.case/1` as written, with what the catalog knows left out."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="decisions")
    name = models.CharField(max_length=120)
    workload = models.ForeignKey(Workload, on_delete=models.SET_NULL, null=True, related_name="decisions")
    case = models.JSONField()
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name", "id")
        constraints = (models.UniqueConstraint(fields=["organization", "name"], name="decision_name_unique"),)

    def __str__(self) -> str:
        return self.name


class State(models.TextChoices):
    DRAFT = "draft", "Draft"
    PREPARED = "prepared", "Prepared"
    REVIEWED = "reviewed", "Reviewed"
    APPROVED = "approved", "Approved"
    SUPERSEDED = "superseded", "Superseded"
    WITHDRAWN = "withdrawn", "Withdrawn"


UNFINISHED = (State.DRAFT, State.PREPARED, State.REVIEWED)
CLOSED = (State.SUPERSEDED, State.WITHDRAWN)


class Recommendation(models.Model):
    """One version of a decision. The resolved case and its evaluation are kept as their canonical bytes."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="recommendations")
    decision = models.ForeignKey(Decision, on_delete=models.CASCADE, related_name="recommendations")
    version = models.PositiveIntegerField()
    case_json = models.TextField()
    case_sha256 = models.CharField(max_length=64, db_index=True)
    evaluation_json = models.TextField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)
    closed_by_name = models.CharField(max_length=254, blank=True)
    closed_because = models.CharField(max_length=500, blank=True)
    superseded_by = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ("decision", "-version")
        constraints = (
            models.UniqueConstraint(fields=["decision", "version"], name="recommendation_version_unique"),
            models.UniqueConstraint(
                fields=["decision"], condition=models.Q(state__in=UNFINISHED), name="recommendation_one_unfinished"
            ),
            models.UniqueConstraint(
                fields=["decision"], condition=models.Q(state=State.APPROVED), name="recommendation_one_approved"
            ),
            models.CheckConstraint(condition=models.Q(state__in=State.values), name="recommendation_state_known"),
            models.CheckConstraint(
                condition=models.Q(state__in=CLOSED, closed_at__isnull=False)
                | ~models.Q(state__in=CLOSED) & models.Q(closed_at=None),
                name="recommendation_closed_has_time",
            ),
        )

    def __str__(self) -> str:
        return f"{self.decision}, version {self.version}"

    @property
    def case(self) -> Case:
        return parse_case(self.case_json)

    @property
    def evaluation(self) -> Evaluation:
        return Evaluation.model_validate_json(self.evaluation_json)

    @property
    def is_unfinished(self) -> bool:
        return self.state in UNFINISHED


class Step(models.TextChoices):
    """What a person puts their name to; in this order, and each by somebody else."""

    PREPARE = "prepare", "Prepared by"
    REVIEW = "review", "Reviewed by"
    APPROVE = "approve", "Approved by"


class SignOff(models.Model):
    """A name under a version. It is copied here, so that it stays when the account goes."""

    recommendation = models.ForeignKey(Recommendation, on_delete=models.CASCADE, related_name="sign_offs")
    step = models.CharField(max_length=10, choices=Step.choices)
    signer = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    signer_name = models.CharField(max_length=120)
    signer_email = models.CharField(max_length=254)
    signed_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=["recommendation", "step"], name="sign_off_step_once"),
            models.UniqueConstraint(fields=["recommendation", "signer"], name="sign_off_by_different_people"),
            models.CheckConstraint(condition=models.Q(step__in=Step.values), name="sign_off_step_known"),
        )

    def __str__(self) -> str:
        return f"{self.get_step_display()} {self.signer_name}"
