"""Reads uploads: what confirming one would do."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from costadvisor.accounts.models import Organization
from costadvisor.spend import staging
from costadvisor.spend.formats import UsageRow
from costadvisor.spend.formats.figures import NO_REQUESTS
from costadvisor.spend.formats.mapped_csv import Choices, columns_sha256
from costadvisor.spend.merging import Merge, rows_merged
from costadvisor.spend.models import BillImport, ColumnMapping, PendingUpload, RequestChunk
from costadvisor.spend.plan import ImportPlan, overlaps, plan_import, rows_in
from costadvisor.spend.rates import ForeignMonth, foreign_rows
from costadvisor.spend.selectors import rates_confirmed, rows_stored, usage_months
from costadvisor.spend.staging import Summary
from costadvisor.spend.totals import Totals, totals


@dataclass(frozen=True)
class ImportPreview:
    """An upload as understood, before anything of it is stored. `merge` is of a log with a row a request."""

    summary: Summary
    first_rows: list[UsageRow]
    plan: ImportPlan
    merge: Merge | None
    totals: Totals | None
    overlaps: list[str]
    same_file: BillImport | None
    without_rate: list[ForeignMonth]

    @property
    def rows_added(self) -> int:
        return self.merge.added if self.merge else rows_in(self.plan.added)

    @property
    def rows_revised(self) -> int:
        return self.merge.revised if self.merge else rows_in(self.plan.revised)

    @property
    def rows_unchanged(self) -> int:
        return self.merge.unchanged if self.merge else rows_in(self.plan.unchanged)


def upload_summary(*, upload: PendingUpload) -> Summary:
    return Summary.from_json(upload.summary)


def upload_preview(*, upload: PendingUpload) -> ImportPreview:
    """What confirming the upload would do."""
    summary, organization = upload_summary(upload=upload), upload.organization
    rows = staging.rows_read(upload)
    stored = rows_stored(organization=organization, rows=rows)
    merge = upload_merge(upload=upload) if summary.requests else None
    planned = rows if merge is None else rows_merged(merge, stored)
    return ImportPreview(
        summary=summary,
        first_rows=staging.first_rows_read(upload),
        plan=plan_import(planned, stored),
        merge=merge,
        totals=totals(rows),
        overlaps=overlaps(rows, usage_months(organization=organization), {} if merge else stored),
        without_rate=[
            month for month in foreign_rows(rows, rates_confirmed(organization=organization)) if not month.rate
        ],
        same_file=BillImport.objects.filter(organization=organization, sha256=upload.sha256).first(),
    )


def upload_merge(*, upload: PendingUpload, keep: staging.Keep | None = None) -> Merge:
    """The upload's requests against the stored ones; `keep` is handed those that are new or revised, and of how many
    of the file's they are."""
    merge = Merge()
    known = RequestChunk.objects.filter(bill_import__organization=upload.organization, source=upload.format_name)
    if keep is None and not known.exists():
        return Merge(added=upload.summary["requests"], sums=[staging.buckets_read(upload)])
    for part in staging.requests_read(upload):
        stored = requests_stored(organization=upload.organization, source=upload.format_name, part=part)
        kept = merge.part(part, stored, upload.format_name)
        if keep is not None:
            keep(kept, part.height)
    return merge


def requests_stored(
    *, organization: Organization, source: str, part: pl.DataFrame
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Chunks of stored requests that reach into the time of `part`, newest import first."""
    chunks = RequestChunk.objects.filter(
        bill_import__organization=organization,
        source=source,
        first_arrival__lte=part["arrival"].max(),
        last_arrival__gte=part["arrival"].min(),
    ).order_by("-bill_import_id", "id")
    for import_id, content in chunks.values_list("bill_import_id", "content").iterator(chunk_size=1):
        # Chunks of earlier versions lack columns that were added since.
        yield import_id, pl.concat([NO_REQUESTS, pl.read_parquet(io.BytesIO(bytes(content)))], how="diagonal")


def mapping_remembered(*, organization: Organization, columns: Sequence[str]) -> Choices | None:
    """How the organization read a file of these columns before."""
    sha256 = columns_sha256(columns)
    known = ColumnMapping.objects.filter(organization=organization, columns_sha256=sha256).first()
    return None if known is None else Choices(**known.choices)
