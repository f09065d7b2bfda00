"""Workload profiles as stored. A decision copies what it uses, so a profile may change afterwards."""

from django.db import models

from costadvisor.accounts.models import Organization, User
from costadvisor.workloads.profile import Lengths, Profile


class Workload(models.Model):
    """`figures` is a `Profile` as JSON, `lengths` a `Lengths`, or null without a trace."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="workloads")
    name = models.CharField(max_length=120)
    figures = models.JSONField()
    lengths = models.JSONField(null=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name", "id")
        constraints = (models.UniqueConstraint(fields=["organization", "name"], name="workload_name_unique"),)

    def __str__(self) -> str:
        return self.name

    @property
    def profile(self) -> Profile:
        return Profile.model_validate(self.figures)

    @property
    def length_distribution(self) -> Lengths | None:
        return None if self.lengths is None else Lengths.model_validate(self.lengths)
