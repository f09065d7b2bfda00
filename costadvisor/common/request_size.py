"""Refuses an over-large request before anything reads its body."""

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

Handler = Callable[[HttpRequest], HttpResponse]


class RequestSizeLimit:
    """Middleware. A WSGI server hands over no more than CONTENT_LENGTH bytes, so the declared length is enough."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        declared = request.META.get("CONTENT_LENGTH") or "0"
        limit, whole, setting = settings.MAX_UPLOAD_BYTES, settings.MAX_REQUEST_BYTES, "MAX_UPLOAD_BYTES"
        if re.fullmatch(settings.BILL_UPLOAD_PATH, request.path):  # the one page whose files stay on disk
            limit, whole, setting = settings.BILL_MAX_BYTES, settings.BILL_MAX_BYTES + 2**20, "BILL_MAX_BYTES"
        if not declared.isdigit() or int(declared) > whole:
            limit_mib = limit // 2**20
            if request.content_type == "application/json" or request.path.startswith("/api/"):
                error = {
                    "code": "too_large",
                    "detail": f"A request may have at most {limit_mib} MiB ({setting}).",
                    "attr": None,
                }
                return JsonResponse({"type": "client_error", "errors": [error]}, status=413)
            return render(request, "413.html", {"limit_mib": limit_mib, "setting": setting}, status=413)
        return self.get_response(request)
