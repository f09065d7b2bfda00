"""A result file as JSON objects, and checked readings of their fields. Text is never handed on but for short names."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.errors import InputError

MOST_BYTES = 512 * 2**20
LONGEST_NAME = 200
LARGEST = 1e20  # above a time in nanoseconds


def objects(data: bytes, name: str) -> tuple["Fields", ...]:
    """The JSON objects of a file: one, a list of them, or one a line. Raises InputError for anything else."""
    if len(data) > MOST_BYTES:
        raise InputError(f"{name}: {len(data):,} bytes are too many; a result file of up to {MOST_BYTES:,} is read")
    try:
        found = _parsed(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(f"{name}, line {error.lineno}: is no JSON ({error.msg}); give the file as it was") from None
    except (ValueError, RecursionError):  # not UTF-8, a number of thousands of digits, brackets without end
        raise InputError(f"{name}: is no JSON text; give the file that the benchmark wrote") from None
    if not found or not all(isinstance(one, dict) for one in found):
        raise InputError(f"{name}: must hold JSON objects; give the file that the benchmark wrote")
    return tuple(Fields(one, name if len(found) == 1 else f"{name}, entry {at}") for at, one in enumerate(found, 1))


def _parsed(text: str) -> list[Any]:
    """A whole document; or, where a second one follows the first, one a line."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return list(_lines(text))
    return whole if isinstance(whole, list) else [whole]


def _lines(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise json.JSONDecodeError(error.msg, "\n" * (number - 1), number - 1) from None


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object. A field inside others is named by its path, `metrics.ttft.p95`; null counts as absent."""

    raw: Mapping[str, Any]
    where: str

    def __contains__(self, path: str) -> bool:
        return self.get(path) is not None

    def get(self, path: str) -> Any:
        """The value as it is, or None."""
        found: Any = self.raw
        for key in path.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    def number(self, path: str) -> float | None:
        """A finite number from 0 up, or None where there is none. Raises InputError for any other value."""
        value = self.get(path)
        return None if value is None else self._checked(path, value)

    def needed(self, path: str) -> float:
        """A finite number above 0. Raises InputError where there is none."""
        value = self.number(path)
        if not value:
            raise InputError(f"{self.where}: {path} is {'0' if value == 0 else 'missing'}; it must be a number above 0")
        return value

    def count(self, path: str) -> int | None:
        value = self.number(path)
        if value is not None and value != int(value):
            raise InputError(f"{self.where}: {path} is {value:g}; it must be a whole number")
        return None if value is None else int(value)

    def numbers(self, path: str) -> tuple[float, ...] | None:
        """A list of finite numbers from 0 up, or None where there is none."""
        value = self.get(path)
        if value is None:
            return None
        if not isinstance(value, list):
            raise InputError(f"{self.where}: {path} must be a list of numbers")
        return tuple(self._checked(f"{path}[{at}]", one) for at, one in enumerate(value))

    def name(self, path: str) -> str | None:
        """A short text, or None where there is none."""
        value = self.get(path)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or len(value) > LONGEST_NAME or not value.isprintable():
            raise InputError(f"{self.where}: {path} must be a line of up to {LONGEST_NAME} characters")
        return value

    def day(self, path: str, per_second: float = 1.0) -> str:
        """The UTC day of a Unix time, as 2026-11-30."""
        value = self.needed(path)
        try:
            return datetime.fromtimestamp(value / per_second, UTC).strftime("%Y-%m-%d")
        except (ValueError, OverflowError, OSError):
            raise InputError(f"{self.where}: {path} is {value:g}; it must be a time") from None

    def parts(self, path: str) -> tuple["Fields", ...]:
        """The objects of a list; none where there is no list."""
        value = self.get(path)
        found = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
        return tuple(Fields(one, f"{self.where}, {path}[{at}]") for at, one in enumerate(found))

    def _checked(self, path: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{self.where}: {path} is {str(value)[:40]!r}; it must be a number")
        if not 0 <= value < LARGEST:
            raise InputError(f"{self.where}: {path} is {str(value)[:40]}; it must be finite and not negative")
        return float(value)
