"""Documents as they were first printed. A version prints anew only when its state changes: same state, same bytes."""

from django.db import models

from costadvisor.decisions.models import Recommendation


class Document(models.Model):
    """A PDF of one version in one state, known by the hashes of what it was printed from and of its bytes."""

    recommendation = models.ForeignKey(Recommendation, on_delete=models.CASCADE, related_name="documents")
    printed_from_sha256 = models.CharField(max_length=64)
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["recommendation", "printed_from_sha256"], name="document_of_state_unique"),
        )

    def __str__(self) -> str:
        return f"{self.recommendation}: {self.sha256[:12]}"
