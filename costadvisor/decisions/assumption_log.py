"""The assumptions log as people read it: each value named and in its units, the case's apart from each option's."""

from collections.abc import Mapping
from dataclasses import dataclass

from costadvisor.decisions.assumptions import Assumption
from costadvisor.economics.case import Case
from costadvisor.economics.names import PRIVACY, input_name, input_text, input_word, names_by_id, option_id

OF_THE_CASE = "Workload, prices and horizon"


@dataclass(frozen=True)
class LoggedAssumption:
    """`low`, `mode` and `high` are empty for what is taken as given."""

    name: str
    value: str
    low: str
    mode: str
    high: str
    said: Assumption


@dataclass(frozen=True)
class LogGroup:
    title: str
    rows: tuple[LoggedAssumption, ...]


def logged(row: Assumption, names: Mapping[str, str]) -> LoggedAssumption:
    """`names` by option id; without them the option is not said."""
    value, low, mode, high = (_read(row.pointer, text) for text in (row.value, row.low, row.mode, row.high))
    name = input_name(row.pointer, names) if names else input_word(row.pointer)
    return LoggedAssumption(name, value, low, mode, high, row)


def log_groups(rows: tuple[Assumption, ...], case: Case) -> tuple[LogGroup, ...]:
    """What holds for the whole case first, then option by option."""
    titles = {"": OF_THE_CASE} | names_by_id(case)
    return tuple(
        LogGroup(title, tuple(logged(row, {}) for row in rows if option_id(row.pointer) == id_))
        for id_, title in titles.items()
    )


def _read(pointer: str, text: str) -> str:
    """A number in the units people read it in; other words as people say them."""
    if pointer.endswith("/privacy") and text:
        return ", ".join(PRIVACY[word] for word in text.split(", "))
    try:
        return input_text(pointer, float(text))
    except ValueError:
        return text.replace("_", " ")
