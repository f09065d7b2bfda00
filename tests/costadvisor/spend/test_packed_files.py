"""Files as they come: gzipped, in a ZIP, as Parquet; broken ones, and ones that are meant to do harm."""

import gzip
import io
import zipfile

import polars as pl
import pytest

from costadvisor.spend.formats.opening import Limits, TooLarge, Unreadable
from tests.costadvisor.spend.read import reading
from tests.costadvisor.spend.test_formats import BILLS, FILES

SMALL = Limits(unpacked_bytes=2**20, json_bytes=2**18, rows=1000, buckets=50)
HEADER = "month,provider,model,cost,currency\n"


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return packed.getvalue()


@pytest.mark.parametrize("file_name", FILES)
def test_a_packed_file_says_what_the_plain_one_does(file_name: str) -> None:
    content = (BILLS / file_name).read_bytes()
    plain = reading(content)
    for packed in (gzip.compress(content), zipped(data=content)):
        found = reading(packed)
        assert (found.rows, found.row_count, found.requests) == (plain.rows, plain.row_count, plain.requests)


def test_both_tables_of_deepseek_come_in_one_zip() -> None:
    amount, cost = ((BILLS / f"deepseek_{kind}.csv").read_bytes() for kind in ("amount", "cost"))
    found = reading(zipped(amount__csv=amount, cost__csv=cost))
    assert {row.source for row in found.rows} == {"deepseek_usage", "deepseek_cost"}
    assert found.row_count == 6
    broken = reading(zipped(amount__csv=amount, cost__csv=cost.replace(b"CNY", b"RMB")))
    assert {problem.where for problem in broken.problems} == {"cost.csv, line 2", "cost.csv, line 3"}


def test_parquet_has_the_same_figures_as_csv() -> None:
    frame = pl.DataFrame(
        {
            "request_id": ["r-1", "r-2"],
            "request_created_at": pl.Series(["2026-10-01T10:00:00", "2026-10-01T11:30:00"]).str.to_datetime(
                time_zone="UTC"
            ),
            "request_model": ["gpt-4o-mini", None],
            "prompt_tokens": [100, 7],
            "completion_tokens": pl.Series([20.0, None]),
            "costUSD": pl.Series(["0.000027", "1.5"]).cast(pl.Decimal(38, 12)),
            "request_body": ["the secret prompt"] * 2,
        }
    )
    packed = io.BytesIO()
    frame.write_parquet(packed)
    found = reading(packed.getvalue())
    assert found.problems == ()
    assert [(row.requests, row.input_uncached, row.output, str(row.cost)) for row in found.rows] == [
        (1, 100, 20, "0.000027"),
        (1, 7, 0, "1.5"),
    ]


def test_inner_records_of_parquet_are_read() -> None:
    frame = pl.DataFrame(
        {
            "id": ["o-1"],
            "type": ["GENERATION"],
            "start_time": ["2026-10-01 10:00:00"],
            "provided_model_name": ["m"],
            "usage_details": [{"input": 60, "input_cached_tokens": 40, "output": 20, "total": 120}],
        }
    )
    packed = io.BytesIO()
    frame.write_parquet(packed)
    (row,) = reading(packed.getvalue()).rows
    assert (row.input_uncached, row.cache_read, row.output) == (60, 40, 20)


def test_what_unpacks_to_too_much_is_refused_by_the_name_of_its_limit() -> None:
    line = b"2026-10,openai,m,1,USD\n"
    bomb = HEADER.encode() + line * 100_000
    for packed in (gzip.compress(bomb), zipped(bill__csv=bomb), zipped(a=bomb[:600_000], b=bomb[:600_000])):
        with pytest.raises(TooLarge, match=r"BILL_MAX_UNPACKED_BYTES|BILL_MAX_ROWS"):
            reading(packed, limits=SMALL)
    with pytest.raises(TooLarge, match="BILL_MAX_UNPACKED_BYTES"):
        reading(gzip.compress(HEADER.encode() + b"x" * 2_000_000), limits=SMALL)
    with pytest.raises(TooLarge, match="BILL_MAX_ROWS"):
        reading(bomb, limits=SMALL)
    with pytest.raises(TooLarge, match="BILL_MAX_JSON_BYTES"):
        reading(b'{"data": [' + b" " * 300_000 + b"]}", limits=SMALL)
    many = "".join(f"2026-10,openai,m{number},1,USD\n" for number in range(60))
    with pytest.raises(TooLarge, match="BILL_MAX_BUCKETS"):
        reading((HEADER + many).encode(), limits=SMALL)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04 and no archive", "cannot be unpacked"),
        (zipped(inner__zip=zipped(a=b"month,provider\n")), "neither CSV, JSON nor Parquet"),
        (b"\x1f\x8b\x08\x00 and no gzip", "cannot be unpacked"),
        (b"PAR1 and no Parquet", "cannot be read as Parquet"),
        (b"\x00\x01\x02\x03", "neither CSV, JSON nor Parquet"),
        (zipped(**{f"f{number}": b"a,b\n1,2\n" for number in range(101)}), "at most 100"),
    ],
)
def test_what_is_no_table_says_so(content: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        reading(content)


def test_a_file_longer_than_a_block_has_its_lines_right() -> None:
    good = '2026-10,openai,"a ""quoted""\nname",1,USD\n' * 300_000
    found = reading((HEADER + good + "2026-10,openai,m,one,USD\n" + "2026-10,openai,m,2\n").encode())
    assert found.row_count == 300_000 - 300_000  # a name has no line break
    assert found.problem_count == 300_002
    plain = "2026-10,openai,m,1,USD\n" * 500_000
    found = reading((HEADER + plain + "2026-10,openai,m,one,USD\n" + plain + "2026-10,openai,m\n").encode())
    assert [problem.where for problem in found.problems] == ["line 500002", "line 1000003"]
    assert found.row_count == 1_000_000


def test_sums_that_the_database_could_not_hold_are_refused() -> None:
    dear = "".join(f"2026-10,openai,m{number},999999999,USD\n" for number in range(5))
    with pytest.raises(TooLarge, match="more than 4,000,000,000 USD"):
        reading((HEADER + dear).encode())
    counts = "".join(f"2026-10,openai,{number},{9 * 10**14}\n" for number in range(200))
    with pytest.raises(TooLarge, match="tokens; that cannot be stored"):
        reading(("month,provider,model,input_tokens\n" + counts).encode())


def test_a_quote_that_never_closes_ends_the_reading() -> None:
    found = reading((HEADER + "2026-10,openai,m,1,USD\n" + '2026-10,openai,"m,1,USD\n').encode())
    assert found.row_count == 1
    assert [problem.where for problem in found.problems] == ["line 3"]
