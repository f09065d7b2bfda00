"""Writes spend: files taken in and read, imports, typed figures."""

from costadvisor.spend.services.imports import import_commit, import_remove, monthly_cost_record
from costadvisor.spend.services.uploads import upload_create, upload_discard, upload_map

__all__ = [
    "import_commit",
    "import_remove",
    "monthly_cost_record",
    "upload_create",
    "upload_discard",
    "upload_map",
]
