"""Writes spend: files taken in and read, imports, typed figures. Keys and what is fetched by them: `keys`, `pulls`;
files sent in chunks: `chunks`."""

from costadvisor.spend.services.imports import import_commit, import_remove, monthly_cost_record, upload_confirm
from costadvisor.spend.services.uploads import upload_create, upload_discard, upload_map

__all__ = [
    "import_commit",
    "import_remove",
    "monthly_cost_record",
    "upload_confirm",
    "upload_create",
    "upload_discard",
    "upload_map",
]
