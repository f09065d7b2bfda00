"""The first page."""

from typing import cast

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import User
from costadvisor.accounts.selectors import membership_list
from costadvisor.calibration.selectors import job_list_unfinished, record_list
from costadvisor.decisions.models import Decision
from costadvisor.decisions.selectors import decision_list, recommendation_standing
from costadvisor.economics.selftest import lessons, self_test
from costadvisor.home.navigation import STEPS
from costadvisor.home.standing import Answered, answered, standing
from costadvisor.spend.overview import spend_grid
from costadvisor.spend.selectors import usage_months_in_usd
from costadvisor.workloads.selectors import workload_list


@require_GET
def start(request: HttpRequest) -> HttpResponse:
    """To the only organization, or to a choice."""
    memberships = list(membership_list(user=cast(User, request.user)))  # LoginRequiredMiddleware let nobody else in
    if len(memberships) == 1:
        return redirect("home:organization", memberships[0].organization.slug)
    return render(request, "home/start.html", {"memberships": memberships})


@require_GET
def organization(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug)
    usage = usage_months_in_usd(organization=membership.organization)
    grid = spend_grid(usage)
    workloads = list(workload_list(organization=membership.organization))
    decisions = list(decision_list(organization=membership.organization))
    answers = [
        answered(version, membership) for version in recommendation_standing(organization=membership.organization)
    ]
    done = (
        grid is not None,
        bool(workloads),
        record_list(organization=membership.organization).exists(),
        bool(decisions),
    )
    context = {
        "membership": membership,
        "grid": grid,
        "standing": standing(usage),
        "workloads": workloads,
        "jobs": job_list_unfinished(organization=membership.organization),
        "answers": answers,
        "open_decisions": _without(decisions, answers),
        "steps": list(zip(STEPS, done, strict=True)),
    }
    return render(request, "home/organization.html", context)


@login_not_required
@require_GET
def selftest(request: HttpRequest) -> HttpResponse:
    """Public, like a figure in print: anybody may hold the model against what others worked out."""
    results = self_test()
    context = {
        "sound": [result for result in results if result.example.sound],
        "known_bad": [result for result in results if not result.example.sound],
        "passed": sum(result.ok for result in results),
        "total": len(results),
        "lessons": lessons().values(),
    }
    return render(request, "home/selftest.html", context)


def _without(decisions: list[Decision], answers: list[Answered]) -> list[Decision]:
    """Those of which no version stands or waits."""
    with_version = {answer.recommendation.decision_id for answer in answers}
    return [decision for decision in decisions if decision.pk not in with_version]
