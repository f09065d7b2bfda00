"""A letter on every number the answer rests on."""

from collections.abc import Iterator

from costadvisor.economics.capacity import resolved_capacity
from costadvisor.economics.case import Case, Drift, Evidence
from costadvisor.economics.composition import is_owned
from costadvisor.economics.evaluation import EvidenceRow
from costadvisor.economics.options import HybridOption, Option, RoutedOption, SelfHostOption

UNSOURCED = "no source is given"
# Of what a case may leave to us; ranges and reasons stand in docs/how-it-decides.md.
OUR_DEFAULTS = {
    "/drift/api_price_per_year": "assumed: our default; the price of a given model seldom moves",
    "/drift/gpu_price_per_year": "assumed: our default; rents fell for years and rose in autumn 2026",
}

_OF_CASE = (
    "/workload/requests_per_month",
    "/workload/input_tokens",
    "/workload/output_tokens",
    "/workload/cached_input_share",
    "/workload/batchable_share",
    "/workload/hourly_shape",
    "/workload/burstiness",
    "/workload/growth_per_month",
    "/drift/api_price_per_year",
    "/drift/gpu_price_per_year",
)
_OPERATIONS = tuple(
    f"operations/{field}" for field in ("fte", "usd_per_fte_year", "usd_per_month", "overhead_share", "setup_usd")
)
_OWNED = tuple(f"hardware/{field}" for field in ("purchase_usd", "power_kw", "usd_per_kwh", "colocation_usd_per_month"))
_OF_KIND = {
    "api": ("prices", "reconciliation_factor"),
    "self_host": ("hardware/usd_per_hour", "capacity", "token_ratio", *_OPERATIONS),
    "provisioned": ("usd_per_unit_hour", "requests_per_s_per_unit"),
    "routed": ("small_share",),
}


def evidence_of(case: Case, pointer: str) -> Evidence | None:
    """What the case says of a number, or of the nearest part that holds it."""
    while pointer:
        if pointer in case.evidence:
            return case.evidence[pointer]
        pointer = pointer.rpartition("/")[0]
    return None


def evidence_rows(case: Case) -> tuple[EvidenceRow, ...]:
    """In the order of the case; then what else the case has evidence for, in whatever order it was written."""
    rows = [*(_row(case, pointer) for pointer in _OF_CASE), *_option_rows(case)]
    seen = {row.field for row in rows}
    rows += [_row(case, pointer) for pointer in sorted(case.evidence) if pointer not in seen]
    return tuple(rows)


def _option_rows(case: Case) -> Iterator[EvidenceRow]:
    for option in case.options:
        path = f"/options/{option.id}"
        for field in _fields(option):
            row = _row(case, f"{path}/{field}")
            if field == "capacity" and isinstance(option, SelfHostOption):
                row = row.model_copy(update=_graded(option, row))
            yield row
        if not isinstance(option, HybridOption | RoutedOption) and option.quality:
            yield _row(case, f"{path}/quality")


def _fields(option: Option) -> tuple[str, ...]:
    """What its cost rests on; owned hardware has a price, and need not have a rent."""
    fields = _OF_KIND.get(option.kind, ())
    if isinstance(option, SelfHostOption) and is_owned(option):
        running = fields if option.hardware.usd_per_hour is not None else fields[1:]
        return (*_OWNED, *running)
    return fields


def _graded(option: SelfHostOption, row: EvidenceRow) -> dict[str, str]:
    """A capacity carries its own grade, which sets its range; a record stands for a source."""
    capacity = resolved_capacity(option)
    source = f"record {capacity.record}" if capacity.record and row.source == UNSOURCED else row.source
    return {"grade": capacity.grade, "source": source}


def _row(case: Case, pointer: str) -> EvidenceRow:
    known = evidence_of(case, pointer)
    if known is None:
        return EvidenceRow(field=pointer, grade="E", source=_unsourced(case, pointer), as_of=None)
    return EvidenceRow(field=pointer, grade=known.grade, source=f"{known.basis}: {known.source}", as_of=known.as_of)


def _unsourced(case: Case, pointer: str) -> str:
    """A number that nobody sourced is ours where it is the default, and else the writer's of the case."""
    field = pointer.rpartition("/")[2]
    is_ours = pointer in OUR_DEFAULTS and getattr(case.drift, field) == getattr(Drift(), field)
    return OUR_DEFAULTS[pointer] if is_ours else UNSOURCED
