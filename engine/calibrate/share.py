"""`python -m engine.calibrate.share RECORD --out FILE`: a record as the one file that others can be given.

The file is the record's canonical JSON and nothing else, so its SHA-256 by any tool is the record's identity, which is
printed: `sha256sum FILE` says the same. `--verify HASH` says whether a file holds the record of that hash.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.calibrate.record import Record, record_read
from engine.errors import InputError

PLACE = re.compile(r"(?<![\w.])(?:~|\.\.?)?/[\w.~-]+/|[A-Za-z]:\\|@[\w-]+\.|://")  # paths, addresses


def private_texts(record: Record) -> list[str]:
    """Texts of a record that look like a place on somebody's machine or network. Ours have none; imports might."""
    return [text for text in _texts(record.model_dump(mode="json")) if PLACE.search(text)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def record_write(record: Record, path: Path) -> None:
    """Write the canonical JSON, whole or not at all; raises InputError where that can't be done."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(record.to_json(), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path} can't be written ({error.strerror}); give another --out") from None


def share(record: Record, path: Path) -> None:
    """Write the file to give away; raises InputError for a record that names a place on a machine or network."""
    found = private_texts(record)
    if found:
        raise InputError(f"the record names {found[0]!r}, which is nobody else's business; it is not written")
    record_write(record, path)


def verify(path: Path, sha256: str) -> Record:
    """The record in a file; raises InputError when it is not the one of this hash."""
    record = record_read(path)
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise InputError(f"--verify {sha256!r} is no hash; it must be 64 of 0-9 and a-f")
    if record.sha256 != sha256:
        raise InputError(f"{path} holds another record: its hash is {record.sha256}")
    return record


def main(arguments: list[str] | None = None) -> int:
    """Exit 0: written or verified. 2: refused, and nothing is written."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.calibrate.share",
        description="Write a record as a file to give away, or check that a file is the record of a hash.",
        allow_abbrev=False,
    )
    parser.add_argument("record", type=Path)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="the file to give away")
    what.add_argument("--verify", metavar="HASH", help="the hash that the record must have")
    args = parser.parse_args(arguments)
    try:
        if args.verify:
            record = verify(args.record, args.verify)
        else:
            share(record := record_read(args.record), args.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{record.sha256}  {args.out or args.record}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
