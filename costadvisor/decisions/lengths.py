"""Lengths, burstiness and the shape of the week, from the trace a case names."""

import hashlib
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from costadvisor.common.digits import six_digits
from costadvisor.common.refusal import Refusal
from costadvisor.economics import CaseError
from costadvisor.workloads import measures
from costadvisor.workloads.derive import requests_source
from costadvisor.workloads.requests import Requests, trace_requests

Json = dict[str, Any]
BUCKETS = 20
GIVE_A_TRACE = "give an Azure CSV or a Mooncake JSONL file"


def file_allowed(named: str, folder: Path | None, path: str) -> Path:
    """The file, relative to `folder`; a CaseError where no file may be read."""
    if folder is None:
        raise CaseError(path, "names a file, and files are read on the command line only", "give the numbers instead")
    return folder / named


def resolve_lengths(workload: Json, evidence: Json, folder: Path | None) -> None:
    """Replace each trace by what it says. An hour-long one says nothing of the week."""
    for key in ("input_tokens", "output_tokens"):
        named = workload[key].get("trace")
        if named is None:
            continue
        path = f"/workload/{key}"
        trace, sha256 = _read(file_allowed(named, folder, f"{path}/trace"), f"{path}/trace")
        tokens = sorted(getattr(trace, key).tolist())
        workload[key] = {"mean": six_digits(fmean(tokens)), "histogram": _histogram(tokens), "trace_sha256": sha256}
        cited = _cited(trace, Path(named).name)
        evidence.setdefault(path, cited)
        if key == "input_tokens":
            _resolve_arrivals(workload, evidence, trace, cited)


def _read(file: Path, path: str) -> tuple[Requests, str]:
    try:
        content = file.read_bytes()
        return trace_requests(content, file.name), hashlib.sha256(content).hexdigest()
    except OSError as error:
        raise CaseError(path, f"can't be read: {file} ({error.strerror})", GIVE_A_TRACE) from None
    except Refusal as error:
        raise CaseError(path, str(error).removesuffix("."), GIVE_A_TRACE) from None


def _histogram(tokens: list[int]) -> list[Json]:
    """Buckets of about equal counts, each at its mean: enough to tell which requests reach a long-context tier."""
    edges = sorted({round(part * len(tokens) / BUCKETS) for part in range(BUCKETS + 1)})
    buckets = [tokens[start:end] for start, end in pairwise(edges)]
    return [{"tokens": six_digits(fmean(part)), "share": len(part) / len(tokens)} for part in buckets]


def _resolve_arrivals(workload: Json, evidence: Json, trace: Requests, cited: Json) -> None:
    """What the case itself says of arrivals stands."""
    burstiness, week = measures.burstiness(trace), measures.requests_week(trace)
    if "burstiness" not in workload and burstiness is not None:
        workload["burstiness"] = six_digits(burstiness)
        evidence.setdefault("/workload/burstiness", cited)
    if "hourly_shape" in workload:
        return
    if week is None:
        hours = trace.span_s / measures.HOUR_S
        silent = f"assumed: the trace covers {hours:.2g} hours and says nothing of the week"
        evidence.setdefault("/workload/hourly_shape", {"grade": "E", "basis": "assumed", "source": silent})
    else:
        workload["hourly_shape"] = [six_digits(weight) for weight in week]
        evidence.setdefault("/workload/hourly_shape", cited)


def _cited(trace: Requests, name: str) -> Json:
    day = {"as_of": trace.began_at.date().isoformat()} if trace.has_clock else {}
    return {"grade": "A", "basis": "measured", "source": requests_source(trace, name), **day}
