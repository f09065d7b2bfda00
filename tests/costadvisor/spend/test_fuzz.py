"""Files with bytes changed, cut, doubled and swapped: each is a preview or a refusal, and what is stored is whole.

A few for each format here; `BILL_FUZZ=2000` in the environment tries as many as the release does.
"""

import gzip
import os
import random
import zlib
from pathlib import Path

import pytest
from django.db import transaction

from costadvisor.accounts.models import Organization, User
from costadvisor.common.refusal import Refusal
from costadvisor.spend.formats.amounts import exact_sum
from costadvisor.spend.models import BillImport, PendingUpload, SpendLine, UploadState
from costadvisor.spend.previews import ImportPreview, upload_preview
from costadvisor.spend.selectors import usage_months
from costadvisor.spend.services import import_commit, upload_create
from tests.costadvisor.spend.test_formats import BILLS, FILES

MUTANTS = int(os.environ.get("BILL_FUZZ", "6"))
ODD = [
    b'"',
    b"\n",
    b",",
    b"\0",
    b"\xff",
    b"=1+1",
    b"-",
    b"1e999",
    b"9" * 400,
    b"NaN",
    b"{",
    b"[" * 3000,
    b"",
    b"\xef\xbb\xbf",
    b"\r",
]


def mutated(content: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
        kind = chance.randrange(5)
        if kind == 0:
            content = content[:at] + chance.choice(ODD) + content[at + chance.randrange(3) :]
        elif kind == 1:
            content = content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
        elif kind == 2:
            content = content[:at] + content[end:]
        elif kind == 3:
            content = content[:end] + content[at:]
        else:
            content = content.replace(chance.choice((b",", b"0", b"2026", b'":', b"USD")), chance.choice(ODD), 3)
    return content if chance.random() < 0.9 else gzip.compress(content)[: -chance.randrange(1, 12)]


@pytest.mark.parametrize("file_name", FILES)
def test_no_file_breaks_the_reading(file_name: str, acme: Organization, alice: User, tmp_path: Path) -> None:
    chance = random.Random(zlib.crc32(file_name.encode()))
    content = (BILLS / file_name).read_bytes()
    for _ in range(MUTANTS):
        tried = mutated(content, chance)
        try:
            attempt(acme, alice, tried)
        except Exception:
            (Path(os.environ.get("BILL_FUZZ_KEEP", str(tmp_path))) / "broke").write_bytes(tried)
            raise


def attempt(organization: Organization, actor: User, content: bytes) -> None:
    try:
        upload = upload_create(organization=organization, actor=actor, file_name="f", content=content)
    except Refusal:
        return
    if upload.state == UploadState.READY:
        preview = upload_preview(upload=upload)
        with transaction.atomic():
            commit(organization, actor, upload, preview)
            transaction.set_rollback(True)
    PendingUpload.objects.all().delete()


def commit(organization: Organization, actor: User, upload: PendingUpload, preview: ImportPreview) -> None:
    """Everything that the preview promised, or nothing."""
    try:
        import_commit(upload=upload, actor=actor, leave_out_bad_lines=True)
    except Refusal:
        assert not BillImport.objects.exists()
        assert not SpendLine.objects.exists()
        return
    assert preview.totals is not None
    costs = [month.cost for month in usage_months(organization=organization) if month.cost is not None]
    assert exact_sum(costs) == exact_sum(amount for _, amount in preview.totals.amounts)
