"""Workloads over the API: `/api/v1/workloads`, each figure with its basis and source; what a token writes is stated."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError as BadProfile
from rest_framework import status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.parsers import BaseParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from costadvisor.accounts.api import organization_of, token_of
from costadvisor.accounts.models import Scope
from costadvisor.common.api_errors import refusals_named
from costadvisor.spend.parts import SPLITS, By, Part
from costadvisor.workloads import selectors, services
from costadvisor.workloads.models import Workload
from costadvisor.workloads.profile import Figure, Profile, stated

Json = dict[str, Any]


class WorkloadsApi(APIView):
    scope = Scope.WORKLOADS
    parser_classes: tuple[type[BaseParser], ...] = (JSONParser,)


class WorkloadListView(WorkloadsApi):
    def get(self, request: Request) -> Response:
        listed = selectors.workload_list(organization=organization_of(request))
        return Response({"results": [{"id": each.pk, "name": each.name} for each in listed]})

    def post(self, request: Request) -> Response:
        """`name` and `figures`: values by name, in a profile's units."""
        said = _fields(request.data, name=str, figures=dict)
        with _refusals():
            workload = services.workload_create(
                organization=organization_of(request),
                actor=None,
                name=said["name"],
                profile=Profile.of(_stated(request, said["figures"])),
            )
        return Response(_answer(workload), status=status.HTTP_201_CREATED)


class WorkloadView(WorkloadsApi):
    def get(self, request: Request, workload_id: int) -> Response:
        return Response(_answer(_workload(request, workload_id)))

    def patch(self, request: Request, workload_id: int) -> Response:
        """Another `name`, or some `figures`; the others keep their sources."""
        workload = _workload(request, workload_id)
        given: Json = {"name": workload.name, "figures": {}} | _object(request.data)
        said = _fields(given, name=str, figures=dict)
        with _refusals():
            workload = services.workload_update(
                workload=workload, actor=None, name=said["name"], figures=_stated(request, said["figures"])
            )
        return Response(_answer(workload))

    def delete(self, request: Request, workload_id: int) -> Response:
        services.workload_remove(workload=_workload(request, workload_id), actor=None)
        return Response(status=status.HTTP_204_NO_CONTENT)


class PartsView(WorkloadsApi):
    def get(self, request: Request) -> Response:
        """Parts of the bill that a workload can be derived from, `?by=model` (the default), `project` or `key`."""
        by = _split(request.query_params.get("by", "model"), "by")
        parts = selectors.parts_of_bill(organization=organization_of(request), by=by)
        return Response({"results": [_part_answer(part) for part in parts]})


class DeriveView(WorkloadsApi):
    def post(self, request: Request) -> Response:
        """`name`, `parts` as `/workloads/parts` gives them, and whether they become one workload, `together`."""
        said = _fields({"together": True} | _object(request.data), name=str, parts=list, together=bool)
        parts = [_part(each, f"parts[{place}]") for place, each in enumerate(said["parts"])]
        with _refusals():
            made = services.workloads_derive(
                organization=organization_of(request),
                actor=None,
                name=said["name"],
                parts=parts,
                together=said["together"],
            )
        return Response({"results": [_answer(workload) for workload in made]}, status=status.HTTP_201_CREATED)


class MergeView(WorkloadsApi):
    def post(self, request: Request) -> Response:
        """`name`, the ids of `workloads`, and whether to `remove` them."""
        said = _fields({"remove": False} | _object(request.data), name=str, workloads=list, remove=bool)
        ids = [each for each in said["workloads"] if isinstance(each, int) and not isinstance(each, bool)]
        found = selectors.workloads_of(organization=organization_of(request), ids=ids)
        if len(found) != len(said["workloads"]):
            raise ValidationError({"workloads": ["Not each of these is the id of a workload, named once."]})
        with _refusals():
            merged = services.workloads_merge(
                organization=organization_of(request),
                actor=None,
                name=said["name"],
                workloads=found,
                remove=said["remove"],
            )
        return Response(_answer(merged), status=status.HTTP_201_CREATED)


class TraceView(WorkloadsApi):
    parser_classes = (MultiPartParser,)

    def post(self, request: Request) -> Response:
        """A form with the file `trace`, `name`, and the month's `requests_per_month`."""
        trace, said = request.FILES.get("trace"), dict(request.data)  # a form's values are lists
        name, month = (str(said.get(field, [""])[0]) for field in ("name", "requests_per_month"))
        if trace is None:
            raise ValidationError({"trace": ["Send the trace as a file of a form."]})
        try:
            volume = float(month)
        except ValueError:
            raise ValidationError({"requests_per_month": ["Say how many requests a month brings."]}) from None
        with _refusals():
            workload = services.workload_derive_from_trace(
                organization=organization_of(request),
                actor=None,
                name=name,
                file_name=trace.name or "trace",
                content=trace.read(),
                requests_per_month=volume,
                volume_source=_word(request),
            )
        return Response(_answer(workload), status=status.HTTP_201_CREATED)


def _answer(workload: Workload) -> Json:
    """The profile, and what a case and a calibration take of it."""
    lengths = workload.length_distribution
    return {
        "id": workload.pk,
        "name": workload.name,
        "figures": workload.profile.model_dump(mode="json"),
        "lengths": None if lengths is None else lengths.model_dump(mode="json"),
        "case": selectors.workload_to_case(workload=workload),
        "calibration": selectors.workload_to_calibration(workload=workload),
    }


def _part_answer(part: Part) -> Json:
    return {"provider": part.provider, "model": part.model, "by": part.by, "scope": part.scope}


def _part(raw: Any, path: str) -> Part:
    said = _fields({"by": "model", "scope": ""} | _object(raw), path, provider=str, model=str, by=str, scope=str)
    return Part(said["provider"], said["model"], _split(said["by"], f"{path}.by"), said["scope"])


def _split(text: str, path: str) -> By:
    for by in SPLITS:
        if by == text:
            return by
    raise ValidationError({path: [f"{text[:40]!r} is no split; give one of {', '.join(SPLITS)}."]})


def _workload(request: Request, workload_id: int) -> Workload:
    found = selectors.workload_find(organization=organization_of(request), workload_id=workload_id)
    if found is None:
        raise NotFound
    return found


def _word(request: Request) -> str:
    return f"sent by API token {token_of(request).name}"


def _stated(request: Request, values: Mapping[str, Any]) -> dict[str, Figure[Any]]:
    for name, value in values.items():
        if isinstance(value, bool):
            raise ValidationError({f"figures.{name}": ["Must not be true or false."]})
    return {name: stated(value, _word(request)) for name, value in values.items()}


def _object(raw: Any) -> Json:
    if not isinstance(raw, dict):
        raise ValidationError("Send a JSON object.")
    return raw


def _fields(raw: Any, path: str = "", **kinds: Callable[..., Any]) -> Json:
    """Just these fields, each of its kind."""
    said, start = _object(raw), f"{path}." if path else ""
    for name in said.keys() - kinds.keys():
        raise ValidationError({f"{start}{name}": [f"Is not known; known are {', '.join(kinds)}."]})
    for name, kind in kinds.items():
        if not isinstance(said.get(name), kind):  # type: ignore[arg-type]
            words = {str: "a text", dict: "an object", list: "a list", bool: "true or false"}
            raise ValidationError({f"{start}{name}": [f"Must be {words[kind]}."]})  # type: ignore[index]
    return said


@contextmanager
def _refusals() -> Iterator[None]:
    """Also what no profile can be."""
    try:
        with refusals_named():
            yield
    except BadProfile as error:
        first = error.errors()[0]
        raise ValidationError({f"figures.{first['loc'][0]}": [f"{first['msg']}."]}) from None
