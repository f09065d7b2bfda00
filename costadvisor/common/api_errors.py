"""What a service refuses, as the API's one shape of errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from rest_framework.exceptions import ValidationError

from costadvisor.common.refusal import Refusal


@contextmanager
def refusals_named() -> Iterator[None]:
    """A Refusal becomes a 400 that names its field."""
    try:
        yield
    except Refusal as refusal:
        raise ValidationError({refusal.field or "non_field_errors": [str(refusal)]}) from None
