"""The page that compares two answers to a decision: what changed, and how far each change moved the answer."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from costadvisor.decisions import selectors
from costadvisor.decisions.answers import Answer
from costadvisor.decisions.compared import Compared, compared
from costadvisor.decisions.forms.versions import NOW, VersionsForm
from costadvisor.decisions.gates import enter_decision
from costadvisor.decisions.models import Decision
from costadvisor.economics import CaseError


@require_GET
def compare(request: HttpRequest, organization_slug: str, decision_id: int) -> HttpResponse:
    """The address names the two; without it they are the newest version and the decision as it is now."""
    membership, decision = enter_decision(request, organization_slug, decision_id)
    form = VersionsForm(request.GET, versions=list(decision.recommendations.all()))
    context = {"membership": membership, "decision": decision, "form": form}
    return render(request, "decisions/compare.html", context | {"compared": _compared(form, decision)})


def _compared(form: VersionsForm, decision: Decision) -> Compared | None:
    """None for a form that was refused, which it then says."""
    if not form.is_valid():
        return None
    try:
        before, after = (_answer(form.cleaned_data[end], decision) for end in ("before", "after"))
        return compared((before.case, before.evaluation), (after.case, after.evaluation))
    except CaseError as error:
        form.add_error(None, f"{error.path} {error.problem}; {error.remedy}.")
        return None


def _answer(which: str, decision: Decision) -> Answer:
    if which == NOW:
        return selectors.decision_evaluate(decision=decision)
    # one of the form's own choices, and so one of this decision's versions
    found = next(known for known in decision.recommendations.all() if str(known.version) == which)
    return selectors.recommendation_answer(recommendation=found)
