"""Imports measurements: records of our own, and other tools' results that become one."""

import json
from collections.abc import Sequence

from costadvisor.accounts.models import Organization, User
from costadvisor.calibration.models import CalibrationRecord
from costadvisor.calibration.services.records import record_import
from costadvisor.common.refusal import Refusal
from engine.calibrate.ingest import Given, ingest_files

OUR_SCHEMA = "costadvisor.calibration/"


def is_our_record(content: bytes) -> bool:
    """Whether it says so of itself; whether it is whole, its reader says."""
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(raw, dict) and str(raw.get("schema", "")).startswith(OUR_SCHEMA)


def measurement_import(
    *, organization: Organization, actor: User, files: Sequence[tuple[str, bytes]], given: Given
) -> CalibrationRecord:
    """Raises Refusal for a record that cannot be used or is stored already, and InputError for another tool's file that
    cannot; it names the flag at fault."""
    if any(is_our_record(content) for _, content in files):
        if len(files) > 1:
            raise Refusal("One of the files is a record already; import it alone.", field="file")
        ((name, content),) = files
    else:
        name, content = ", ".join(name for name, _ in files), ingest_files(files, given).to_json().encode()
    return record_import(organization=organization, actor=actor, file_name=name, content=content)
