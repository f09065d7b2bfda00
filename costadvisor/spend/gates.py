"""Gates of an organization's uploads, imports, rates and keys; editors and higher only, for all lead to writing."""

from django.http import Http404, HttpRequest

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Membership, Role
from costadvisor.spend.models import BillImport, ExchangeRate, PendingUpload, ProviderKey
from costadvisor.spend.selectors import exchange_rate_find, import_find, provider_key_find, upload_find


def upload_for_edit(request: HttpRequest, organization_slug: str, upload_id: int) -> tuple[Membership, PendingUpload]:
    membership = enter(request, organization_slug, Role.EDITOR)
    upload = upload_find(organization=membership.organization, upload_id=upload_id)
    if upload is None:
        raise Http404
    return membership, upload


def import_for_edit(request: HttpRequest, organization_slug: str, import_id: int) -> tuple[Membership, BillImport]:
    membership = enter(request, organization_slug, Role.EDITOR)
    bill_import = import_find(organization=membership.organization, import_id=import_id)
    if bill_import is None:
        raise Http404
    return membership, bill_import


def provider_key_for(
    request: HttpRequest, organization_slug: str, key_id: int, needed: Role
) -> tuple[Membership, ProviderKey]:
    membership = enter(request, organization_slug, needed)
    key = provider_key_find(organization=membership.organization, key_id=key_id)
    if key is None:
        raise Http404
    return membership, key


def exchange_rate_for_edit(
    request: HttpRequest, organization_slug: str, rate_id: int
) -> tuple[Membership, ExchangeRate]:
    membership = enter(request, organization_slug, Role.EDITOR)
    rate = exchange_rate_find(organization=membership.organization, rate_id=rate_id)
    if rate is None:
        raise Http404
    return membership, rate
