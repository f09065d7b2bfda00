"""What differs between two cases, as changes that can be made one at a time. Pure JSON."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from costadvisor.economics.case import Case
from costadvisor.economics.parse import parse_case

Path = tuple[str, ...]
GONE = object()
# What names a case and moves no figure of it.
NAMES = ("schema", "name", "as_of", "currency")
# Parts whose numbers say one thing together.
WHOLE = frozenset(
    {"capacity", "hourly_shape", "input_tokens", "output_tokens", "token_ratio", "spot", "latency", "min_quality"}
)


@dataclass(frozen=True)
class Change:
    """At `field` (a pointer, options by id) `before` became `after`; null where there was or is nothing.

    `edits` are all that goes with it: the number itself, its range, and how well it is known.
    """

    field: str
    before: Any
    after: Any
    edits: tuple[tuple[Path, Any], ...]


def changes_between(before: Case, after: Case) -> tuple[Change, ...]:
    """In the order of the case."""
    old, new = tree_of(before), tree_of(after)
    found: dict[str, Change] = {}
    for path, was, now in _differences(old, new, ()):
        if path[0] in NAMES or (path[0] == "evidence" and _known_as_well(was, now)):
            continue
        field = path[1] if path[0] in ("evidence", "uncertainty") else _pointer(path)
        edit = (path, now)
        known = found.get(field)
        if known is None:
            found[field] = Change(field, _shown(was), _shown(now), (edit,))
        else:
            found[field] = Change(field, known.before, known.after, (*known.edits, edit))
    return tuple(found.values())


def tree_of(case: Case) -> dict[str, Any]:
    """The case as JSON, its options by id."""
    tree: dict[str, Any] = case.model_dump(mode="json", by_alias=True)
    return tree | {"options": {option["id"]: option for option in tree["options"]}}


def changed_case(before: Case, after: Case, changes: Sequence[Change]) -> Case:
    """`before` with these changes made. Raises CaseError where they do not fit together without others."""
    tree = deepcopy(tree_of(before))
    for change in changes:
        for path, value in change.edits:
            _put(tree, path, value)
    order = [option.id for option in (*after.options, *before.options)]
    options = sorted(tree["options"].items(), key=lambda item: order.index(item[0]))
    return parse_case(tree | {"options": [option for _, option in options]})


def _differences(was: Any, now: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """The smallest parts that differ; the numbers of the case before what is said about them."""
    if was == now:
        return
    whole = not isinstance(was, dict) or not isinstance(now, dict) or (path and path[-1] in WHOLE)
    if whole:
        yield path, was, now
        return
    for key in dict.fromkeys((*now, *was)):
        yield from _differences(was.get(key, GONE), now.get(key, GONE), (*path, key))


def _known_as_well(was: Any, now: Any) -> bool:
    """Whether only the source's words or its day differ, which move no range."""
    return all(isinstance(said, Mapping) for said in (was, now)) and all(
        was[key] == now[key] for key in ("grade", "basis")
    )


def _put(tree: dict[str, Any], path: Path, value: Any) -> None:
    *way, last = path
    here = tree
    for step in way:
        here = here[step]
    if value is GONE:
        del here[last]
    else:
        here[last] = deepcopy(value)


def _pointer(path: Path) -> str:
    return "".join(f"/{step}" for step in path)


def _shown(value: Any) -> Any:
    return None if value is GONE else value
