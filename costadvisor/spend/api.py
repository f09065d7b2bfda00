"""Spend over the API: `/api/v1/uploads` from a file's parts to its import, `/api/v1/imports`, `/api/v1/spend/…`.

What reads files is imported by the calls that do, as on the pages.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import IO, Any

from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from costadvisor.accounts.api import organization_of, token_of
from costadvisor.accounts.models import Scope
from costadvisor.common.api_errors import refusals_named
from costadvisor.common.refusal import Refusal
from costadvisor.spend import selectors
from costadvisor.spend.api_answers import (
    foreign_answer,
    import_answer,
    month_answer,
    preview_answer,
    rate_answer,
    upload_answer,
)
from costadvisor.spend.models import BillImport, PendingUpload, UploadState
from costadvisor.spend.rates import foreign_months, months_in_usd


class Conflict(APIException):
    """It cannot be done as things stand; it can after something else."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class SpendView(APIView):
    scope = Scope.SPEND
    parser_classes = (JSONParser,)


class Bytes(BaseParser):
    """Leaves the body to be read by the block."""

    media_type = "application/octet-stream"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, IO[Any]]:
        return {"content": stream}


class Newest(CursorPagination):
    page_size = 100
    ordering = "-id"


class UploadsView(SpendView):
    def post(self, request: Request) -> Response:
        """Announces a file: `file_name`, `size_bytes`, `sha256`. The same file again gives the upload that goes on."""
        from costadvisor.spend.services.chunks import upload_announce

        said = _fields(request, file_name=str, size_bytes=int, sha256=str)
        with refusals_named():
            upload = upload_announce(
                organization=organization_of(request), origin=f"API token {token_of(request).name}", **said
            )
        return Response(_upload_answer(upload), status=status.HTTP_201_CREATED)


class UploadView(SpendView):
    def get_throttles(self) -> list[BaseThrottle]:
        """To look is not counted: while SQLite stores a large import, counting would have to wait for its end."""
        return [] if self.request.method == "GET" else super().get_throttles()

    def get(self, request: Request, upload_id: int) -> Response:
        return Response(_upload_answer(_upload(request, upload_id)))

    def delete(self, request: Request, upload_id: int) -> Response:
        from costadvisor.spend.services import upload_discard

        upload = _upload(request, upload_id)
        if upload.state == UploadState.STORED:
            raise Conflict("It is stored already; delete the import.")
        upload_discard(upload=upload)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ContentView(SpendView):
    # Not counted: a file's size bounds its parts, and one refused while it is sent looks like a broken line.
    throttle_classes = ()
    parser_classes = (Bytes,)  # type: ignore[assignment]

    def put(self, request: Request, upload_id: int) -> Response:
        """A part of the file that begins at `?offset=`, which is how many bytes came before."""
        from costadvisor.spend.services.chunks import OutOfPlace, chunk_take

        upload = _upload(request, upload_id)
        offset, content = request.query_params.get("offset", ""), dict(request.data).get("content")
        if not (offset.isascii() and offset.isdigit() and len(offset) < 16) or content is None:
            raise ValidationError({"offset": ["Send ?offset= with how many bytes came before, and a body of some."]})
        with refusals_named():
            try:
                chunk_take(upload=upload, offset=int(offset), stream=content)
            except OutOfPlace as error:
                raise Conflict(str(error)) from None
        return Response(_upload_answer(upload))


class ColumnsView(SpendView):
    def get(self, request: Request, upload_id: int) -> Response:
        """Of a CSV that we do not know: its header, its first rows, and which column we take for what."""
        table, form = _mapping(request, _upload(request, upload_id), None)
        guessed = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
        return Response({"header": table.header, "columns": table.columns, "rows": table.rows, "guess": guessed})

    def put(self, request: Request, upload_id: int) -> Response:
        """Reads the file by what the columns are said to be, in the words of `guess`."""
        from costadvisor.spend.formats.mapped_csv import MappedCsv
        from costadvisor.spend.services import upload_map

        upload = _upload(request, upload_id)
        table, form = _mapping(request, upload, dict(request.data) if isinstance(request.data, dict) else {})
        if not form.is_valid():
            raise ValidationError({name: list(errors) for name, errors in form.errors.items()})
        with refusals_named():
            upload_map(upload=upload, form=MappedCsv(form.choices, table.columns))
        return Response(_upload_answer(upload))


class PreviewView(SpendView):
    def get(self, request: Request, upload_id: int) -> Response:
        """What importing it would do; nothing is stored."""
        from costadvisor.spend.previews import upload_preview

        upload = _upload(request, upload_id)
        if upload.state != UploadState.READY:
            raise Conflict(f"There is a preview of a file that is read; this one is {upload.state}.")
        return Response(preview_answer(upload_preview(upload=upload)))


class ImportView(SpendView):
    def post(self, request: Request, upload_id: int) -> Response:
        """Stores the upload, once however often it is asked: 201 and the import; 202 while a large one is stored."""
        from costadvisor.spend.services import upload_confirm

        upload = _upload(request, upload_id)
        if upload.state not in (UploadState.READY, UploadState.STORING, UploadState.STORED):
            raise Conflict(f"A file that is read can be imported; this one is {upload.state}.")
        leave_out = request.data.get("leave_out_bad_lines") is True if isinstance(request.data, dict) else False
        with refusals_named():
            upload_confirm(upload=upload, actor=None, leave_out_bad_lines=leave_out)
        if upload.bill_import is None:
            return Response(_upload_answer(upload), status=status.HTTP_202_ACCEPTED)
        return Response(import_answer(upload.bill_import), status=status.HTTP_201_CREATED)


class ImportsView(SpendView):
    def get(self, request: Request) -> Response:
        """Newest first, a hundred a page; `?sha256=` gives those of one file."""
        imports = selectors.import_list(organization=organization_of(request))
        if "sha256" in request.query_params:
            imports = imports.filter(sha256=request.query_params["sha256"])
        pages = Newest()
        page = pages.paginate_queryset(imports, request, view=self) or []
        return pages.get_paginated_response([import_answer(one) for one in page])


class ImportedView(SpendView):
    def get(self, request: Request, import_id: int) -> Response:
        return Response(import_answer(_import(request, import_id)))

    def delete(self, request: Request, import_id: int) -> Response:
        """Takes the import back; what it had revised is as before."""
        from costadvisor.spend.services import import_remove

        try:
            import_remove(
                bill_import=_import(request, import_id), actor=None, origin=f"API token {token_of(request).name}"
            )
        except Refusal as refusal:
            raise Conflict(str(refusal)) from None
        return Response(status=status.HTTP_204_NO_CONTENT)


class MonthsView(SpendView):
    def get(self, request: Request) -> Response:
        """What was used and paid, by month, provider, model and source; oldest first. `usd` at the rate confirmed."""
        organization = organization_of(request)
        months, rates = (
            selectors.usage_months(organization=organization),
            selectors.rates_confirmed(organization=organization),
        )
        in_usd = months_in_usd(months, rates)
        return Response({"results": [month_answer(*both) for both in zip(months, in_usd, strict=True)]})


class RatesView(SpendView):
    def get(self, request: Request) -> Response:
        """Months billed in other currencies with the rate of each, null until one is confirmed; and all rates ever."""
        organization = organization_of(request)
        months, rates = (
            selectors.usage_months(organization=organization),
            selectors.rates_confirmed(organization=organization),
        )
        history = selectors.rate_history(organization=organization)
        return Response(
            {
                "billed": [foreign_answer(month) for month in foreign_months(months, rates)],
                "rates": [rate_answer(rate) for rate in history],
            }
        )

    def post(self, request: Request) -> Response:
        """Confirms a rate: `currency`, `month` (2026-10), `usd` for one unit, `as_of` (2026-10-31), `source`; texts."""
        from costadvisor.spend.services.rates import exchange_rate_confirm

        said = _fields(request, currency=str, month=str, usd=str, as_of=str, source=str)
        with refusals_named():
            rate = exchange_rate_confirm(
                organization=organization_of(request),
                actor=None,
                origin=f"API token {token_of(request).name}",
                currency=said["currency"],
                month=_day("month", f"{said['month']}-01"),
                usd=said["usd"],
                as_of=_day("as_of", said["as_of"]),
                source=said["source"],
                now=timezone.now(),
            )
        return Response(rate_answer(rate), status=status.HTTP_201_CREATED)


class RateView(SpendView):
    def delete(self, request: Request, rate_id: int) -> Response:
        """The rate holds no longer; it stays in the history."""
        from costadvisor.spend.services.rates import exchange_rate_withdraw

        rate = selectors.exchange_rate_find(organization=organization_of(request), rate_id=rate_id)
        if rate is None:
            raise NotFound("There is no such rate.")
        try:
            exchange_rate_withdraw(
                rate=rate, actor=None, now=timezone.now(), origin=f"API token {token_of(request).name}"
            )
        except Refusal as refusal:
            raise Conflict(str(refusal)) from None
        return Response(status=status.HTTP_204_NO_CONTENT)


def _day(field: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        example = "2026-10" if field == "month" else "2026-10-31"
        raise ValidationError({field: [f"Write it as {example}."]}) from None


def _fields(request: Request, **kinds: Callable[..., Any]) -> dict[str, Any]:
    """The body's fields, each of its kind; anything else is refused by name."""
    body = request.data if isinstance(request.data, dict) else {}
    wrong = [name for name, kind in kinds.items() if type(body.get(name)) is not kind]
    if wrong:
        words = {str: "a text", int: "a whole number"}
        raise ValidationError({name: [f"This must be {words[kinds[name]]}."] for name in wrong})  # type: ignore[index]
    return {name: body[name] for name in kinds}


def _upload(request: Request, upload_id: int) -> PendingUpload:
    upload = selectors.upload_find(organization=organization_of(request), upload_id=upload_id)
    if upload is None:
        raise NotFound("There is no such upload; one is kept for a day.")
    return upload


def _upload_answer(upload: PendingUpload) -> dict[str, Any]:
    from costadvisor.spend.staging import progress_of

    at_work = upload.state in (UploadState.READING, UploadState.STORING)
    return upload_answer(upload, progress_of(upload).share if at_work else None)


def _import(request: Request, import_id: int) -> BillImport:
    bill_import = selectors.import_find(organization=organization_of(request), import_id=import_id)
    if bill_import is None:
        raise NotFound("There is no such import.")
    return bill_import


def _mapping(request: Request, upload: PendingUpload, said: dict[str, Any] | None) -> Any:
    """The table whose columns are asked for, and the form that asks."""
    from costadvisor.spend.mapping_form import mapping_of

    found = mapping_of(upload, said)
    if found is None:
        raise Conflict("Its columns are known; look at the preview.")
    return found
