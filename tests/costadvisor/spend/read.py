"""Files read as the product reads them, from bytes."""

import io
from datetime import date

from costadvisor.spend.formats import registry
from costadvisor.spend.formats.opening import Limits, Unreadable
from costadvisor.spend.formats.reading import Reading
from costadvisor.spend.formats.sniffing import Format

TODAY = date(2026, 11, 21)


def reading(
    content: bytes, form: Format | None = None, *, today: date = TODAY, limits: Limits | None = None
) -> Reading:
    """What a file of a known format says; `form` reads it by that one, whatever it looks like."""
    found = registry.read(io.BytesIO(content), today=today, limits=limits or Limits(), forced=form)
    assert found is not None
    return found


def detect(content: bytes) -> str | None:
    """The format that a file is taken for."""
    try:
        found = registry.read(io.BytesIO(content), today=TODAY)
    except Unreadable:
        return None
    return found.format_name if found else None
