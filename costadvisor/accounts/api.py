"""Who calls the API: a token in `Authorization: Bearer …`, what it may do, and how often."""

from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from costadvisor.accounts.models import ApiToken, Organization, Scope
from costadvisor.accounts.selectors import token_find
from costadvisor.accounts.services import token_wait_s

SCHEME = "Bearer"
HOW = "send a token in the header Authorization: Bearer cadv_…; your administrator makes one with manage.py createtoken"


class TokenAuthentication(BaseAuthentication):
    """`request.auth` is the ApiToken. There is no user: a token stands for its organization."""

    def authenticate(self, request: Request) -> tuple[None, ApiToken]:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        token = token_find(secret=secret.strip(), now=timezone.now()) if scheme.lower() == "bearer" else None
        if token is None:
            known = "this token is unknown, expired or revoked" if secret else "there is no token"
            raise AuthenticationFailed(f"{known}; {HOW}".capitalize())
        return None, token

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


def token_of(request: Request) -> ApiToken:
    if not isinstance(request.auth, ApiToken):
        raise NotAuthenticated
    return request.auth


def organization_of(request: Request) -> Organization:
    """The one that the request's token stands for."""
    return token_of(request).organization


class HasScope(BasePermission):
    """The view's `scope` is one of the token's."""

    message = "This token is for other things; it lacks the scope that is needed here."

    def has_permission(self, request: Request, view: Any) -> bool:
        scope: Scope = view.scope
        return isinstance(request.auth, ApiToken) and scope.value in request.auth.scopes


class CallsPerMinute(BaseThrottle):
    """So many calls a token and minute, whichever process takes them."""

    wait_s = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        token = request.auth
        if not isinstance(token, ApiToken):
            return False
        self.wait_s = token_wait_s(token=token, now=timezone.now(), calls_per_minute=settings.API_CALLS_PER_MINUTE)
        return not self.wait_s

    def wait(self) -> float:
        return self.wait_s
