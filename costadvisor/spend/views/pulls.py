"""The page of bills fetched from providers: keys, how each report went, and a button that fetches now."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Role
from costadvisor.common.refusal import Refusal
from costadvisor.spend import selectors
from costadvisor.spend.forms import ProviderKeyForm
from costadvisor.spend.gates import provider_key_for
from costadvisor.spend.models import Provider, PullState


@require_GET
def index(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug, Role.EDITOR)
    keys = list(selectors.provider_key_list(organization=membership.organization))
    running = any(pull.state == PullState.RUNNING for key in keys for pull in key.pulls.all())
    return render(request, "spend/pulls.html", {"membership": membership, "keys": keys, "running": running})


@sensitive_post_parameters("secret")
@sensitive_variables("form")
@require_http_methods(["GET", "POST"])
def set_key(request: HttpRequest, organization_slug: str) -> HttpResponse:
    from costadvisor.spend.services.keys import provider_key_set

    membership = enter(request, organization_slug, Role.ADMIN)
    form = ProviderKeyForm(request.POST or None, today=timezone.localdate())
    if form.is_valid():
        try:
            key = provider_key_set(
                organization=membership.organization,
                actor=membership.user,
                provider=Provider(form.cleaned_data["provider"]),
                secret=form.cleaned_data["secret"],
                since=form.cleaned_data["since"],
                now=timezone.now(),
            )
            messages.success(request, f"The key {key} is set. Fetch now, or wait for the next scheduled time.")
            return redirect("spend:pulls", organization_slug)
        except Refusal as refusal:
            form.add_error(refusal.field, str(refusal))
    return render(request, "spend/pull_key.html", {"membership": membership, "form": form})


@require_POST
def fetch_now(request: HttpRequest, organization_slug: str, key_id: int) -> HttpResponse:
    from costadvisor.spend.services.beside import run_beside

    _, key = provider_key_for(request, organization_slug, key_id, Role.EDITOR)
    run_beside("pull_bills", "--key", str(key.pk))
    messages.success(request, f"Fetching from {key.get_provider_display()}. Look again in a minute.")
    return redirect("spend:pulls", organization_slug)


@require_POST
def forget_key(request: HttpRequest, organization_slug: str, key_id: int) -> HttpResponse:
    from costadvisor.spend.services.keys import provider_key_forget

    membership, key = provider_key_for(request, organization_slug, key_id, Role.ADMIN)
    provider_key_forget(key=key, actor=membership.user)
    messages.info(request, f"The key {key} is deleted. What was fetched by it stays.")
    return redirect("spend:pulls", organization_slug)
