"""`POST /api/v1/evaluate`: a case in, its evaluation out, for notebooks and CI; and what new prices do to decisions.
Nothing is stored."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

from django.conf import settings
from django.http import HttpResponse
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ParseError, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from costadvisor.accounts.api import organization_of
from costadvisor.accounts.models import Scope
from costadvisor.decisions.price_changes import (
    MovedDecision,
    PriceEvent,
    decisions_moved,
    price_event_find,
    price_events,
)
from costadvisor.decisions.selectors import case_evaluate
from costadvisor.economics import CaseError


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class CaseText(BaseParser):
    """The body as text: the case's own reader keeps its numbers exact and names what is wrong in it."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        content = stream.read(settings.MAX_CASE_BYTES + 1)
        if len(content) > settings.MAX_CASE_BYTES:
            raise TooLarge(f"A case may have at most {settings.MAX_CASE_BYTES // 2**10} KiB.")
        try:
            return {"case": content.decode()}
        except UnicodeDecodeError:
            raise ParseError("The body is not text in UTF-8; send a case as JSON.") from None


class EvaluateView(APIView):
    parser_classes = (CaseText,)
    scope = Scope.EVALUATE

    def post(self, request: Request) -> HttpResponse:
        """The evaluation's canonical bytes: the same case gives the same. 400 names the field by its path."""
        text = str(dict(request.data).get("case", ""))  # an empty body is not parsed at all
        organization = organization_of(request)
        try:
            evaluation = case_evaluate(organization=organization, text=text, most_work=settings.MAX_CASE_WORK)
        except CaseError as error:
            raise ValidationError({error.path: [f"{error.problem}; {error.remedy}"]}) from None
        return HttpResponse(evaluation.to_json(), content_type="application/json")


class PriceChangesView(APIView):
    scope = Scope.PRICES

    def get(self, request: Request) -> Response:
        """What was recorded of prices, the newest first; each has its own address."""
        return Response({"results": [_event(each) for each in price_events(organization=organization_of(request))]})


class PriceChangeView(APIView):
    scope = Scope.PRICES

    def get(self, request: Request, event_id: str) -> Response:
        """With the decisions that it moves: break-evens before and after, in API spend a month."""
        organization = organization_of(request)
        event = price_event_find(organization=organization, event_id=event_id)
        if event is None:
            raise NotFound
        moved = [_moved(each) for each in decisions_moved(organization=organization, event=event)]
        return Response(_event(event) | {"decisions": moved})


def _event(event: PriceEvent) -> dict[str, Any]:
    when = {"at": event.at.isoformat(), "on": event.on.isoformat()}
    return {"id": event.id, "title": event.title, **when, "changes": event.changes}


def _moved(moved: MovedDecision) -> dict[str, Any]:
    told = None if moved.moves is None else asdict(moved.moves)
    return {"id": moved.decision.pk, "name": moved.decision.name, "refused": moved.refused or None, "moves": told}
