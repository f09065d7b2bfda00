"""What a format is, and which one a table's columns are of."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import polars as pl

from costadvisor.spend.formats.cells import Cells

_SURE_ENOUGH = 0.6


class Format(Protocol):
    """One kind of bill or usage file. Names of columns are normalized (see `opening.normalized`).

    `MARKS` are the columns by which it is known, all of them needed; `COLUMNS` all that it reads; `MAPPING` says in
    words what each figure is taken from. `rows` gives the figures of a part of the file.
    """

    @property
    def NAME(self) -> str: ...
    @property
    def LABEL(self) -> str: ...
    @property
    def MARKS(self) -> tuple[str, ...]: ...
    @property
    def COLUMNS(self) -> tuple[str, ...]: ...
    @property
    def MAPPING(self) -> Mapping[str, str]: ...

    def rows(self, cells: Cells) -> Iterator[pl.DataFrame]: ...


def sniff(form: Format, columns: Sequence[str]) -> float:
    """How well columns fit a format: by the share of its marks, then by how many of its columns are there."""
    share = len(set(form.MARKS) & set(columns)) / len(form.MARKS)
    return share + len(set(form.COLUMNS) & set(columns)) / 1000


def best_format(formats: Mapping[str, Format], columns: Sequence[str]) -> str | None:
    scores = {name: sniff(form, columns) for name, form in formats.items()}
    best = max(scores, key=lambda name: scores[name], default=None)
    return best if best is not None and scores[best] >= _SURE_ENOUGH else None
