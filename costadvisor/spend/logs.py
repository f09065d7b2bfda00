"""Requests of logs with a row a request, as they were stored."""

import io

import polars as pl
from django.db.models import QuerySet

from costadvisor.accounts.models import Organization
from costadvisor.spend.models import RequestChunk
from costadvisor.spend.parts import Part

MOST_REQUESTS = 2_000_000  # the newest; memory grows by some 100 bytes each
_INPUT = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h")
_SHOWN = ("request_id", "arrival", "output", "ttft_ms", "total_ms")


def part_requests(*, organization: Organization, part: Part, source: str) -> pl.DataFrame:
    """The newest requests of a part, by arrival: `arrival`, `input`, `output`, `ttft_ms`, `total_ms`.

    Each once, by the newest import's word; those without both lengths are left out.
    """
    chunks = RequestChunk.objects.filter(bill_import__organization=organization, source=source)
    chosen = chunks.filter(pk__in=_newest(chunks)).order_by("-bill_import_id", "id")
    contents = chosen.values_list("content", flat=True).iterator(chunk_size=1)
    frames = [_read(bytes(content), part) for content in contents]
    if not frames:
        return pl.DataFrame()
    newest_word = pl.concat(frames).unique("request_id", keep="first", maintain_order=True)
    return newest_word.filter(pl.col("input") > 0, pl.col("output") > 0).sort("arrival")


def _newest(chunks: "QuerySet[RequestChunk]") -> list[int]:
    """Ids of the chunks that hold the newest requests."""
    kept: list[int] = []
    requests = 0
    for key, count in chunks.order_by("-last_arrival").values_list("pk", "requests"):
        kept.append(key)
        requests += count
        if requests >= MOST_REQUESTS:
            break
    return kept


def _read(content: bytes, part: Part) -> pl.DataFrame:
    frame = pl.read_parquet(io.BytesIO(content))
    wanted = (pl.col("provider") == part.provider) & (pl.col("model") == part.model)
    if part.by == "key":
        wanted &= pl.col("scope") == part.scope
    elif part.by == "project":
        wanted &= pl.col("scope").str.split("/").list.first().fill_null("") == part.scope
    return frame.filter(wanted).select(*_SHOWN, input=pl.sum_horizontal(_INPUT))
