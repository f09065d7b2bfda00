"""Own quotes over the API: `/api/v1/quotes`. One that is deleted is withdrawn, and stays readable."""

from dataclasses import fields
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from costadvisor.accounts.api import organization_of
from costadvisor.accounts.models import Scope
from costadvisor.catalog.models import Quote
from costadvisor.catalog.selectors import quote_find, quote_list
from costadvisor.catalog.services.quotes import Given, quote_create, quote_withdraw
from costadvisor.common.api_errors import refusals_named

Json = dict[str, Any]
_TEXTS = ("kind", "provider", "item", "unit", "source", "plan", "file_name")
_DAYS = ("valid_from", "valid_to")
_NUMBERS = ("input", "cached_input", "output", "batch_discount", "rent")
_NEEDED = ("kind", "provider", "item", "unit", "valid_from", "source")


class QuotesView(APIView):
    scope = Scope.PRICES
    parser_classes = (JSONParser,)

    def get(self, request: Request) -> Response:
        """All that were ever entered, the last first."""
        return Response({"results": [answer(quote) for quote in quote_list(organization=organization_of(request))]})

    def post(self, request: Request) -> Response:
        """The fields of a quote, prices as text or numbers in `unit`, days as 2026-12-01."""
        given = _given(request.data)
        with refusals_named():
            quote = quote_create(organization=organization_of(request), actor=None, given=given, now=timezone.now())
        return Response(answer(quote), status=status.HTTP_201_CREATED)


class QuoteView(APIView):
    scope = Scope.PRICES

    def get(self, request: Request, quote_id: int) -> Response:
        return Response(answer(_quote(request, quote_id)))

    def delete(self, request: Request, quote_id: int) -> Response:
        with refusals_named():
            withdrawn = quote_withdraw(quote=_quote(request, quote_id), actor=None, now=timezone.now())
        return Response(answer(withdrawn))


def answer(quote: Quote) -> Json:
    """Prices in the catalog's own units; `as_entered` in those they were given in."""
    money = ("input_usd_per_mtok", "cached_input_usd_per_mtok", "output_usd_per_mtok", "batch_discount", "usd_per_hour")
    plain = ("kind", "provider", "item", "plan", "gpus", "as_entered", "source", "file_name")
    amounts = {name: getattr(quote, name) for name in money}
    days = {name: getattr(quote, name) for name in (*_DAYS, "created_at", "withdrawn_at")}
    return {
        "id": quote.pk,
        **{name: getattr(quote, name) for name in plain},
        **{name: None if usd is None else format(usd.normalize(), "f") for name, usd in amounts.items()},
        **{name: None if day is None else day.isoformat() for name, day in days.items()},
    }


def _quote(request: Request, quote_id: int) -> Quote:
    found = quote_find(organization=organization_of(request), quote_id=quote_id)
    if found is None:
        raise NotFound
    return found


def _given(raw: Any) -> Given:
    if not isinstance(raw, dict):
        raise ValidationError("Send a JSON object.")
    known = [field.name for field in fields(Given)]
    for name in raw.keys() - set(known):
        raise ValidationError({name: [f"Is not known; known are {', '.join(known)}."]})
    for name in _NEEDED:
        if raw.get(name) is None:
            raise ValidationError({name: ["Must be given."]})
    return Given(**{name: _value(name, value) for name, value in raw.items() if value is not None})


def _value(name: str, value: Any) -> Any:
    if name in _TEXTS:
        if not isinstance(value, str):
            raise ValidationError({name: ["Must be a text."]})
        return value
    if name == "gpus":
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValidationError({name: ["Must be a whole number."]})
        return value
    return _day(name, value) if name in _DAYS else _number(name, value)


def _day(name: str, value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValidationError({name: ["Must be a day such as 2026-12-01."]}) from None


def _number(name: str, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValidationError({name: ["Must be a number, or one as text."]})
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValidationError({name: [f"{str(value)[:40]!r} is no number."]}) from None
