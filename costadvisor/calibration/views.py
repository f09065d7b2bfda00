"""The calibration pages: jobs from draft to record, records, import."""

from base64 import b64encode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRefresh

from costadvisor.accounts.gates import enter
from costadvisor.accounts.models import Membership, Role
from costadvisor.calibration import page
from costadvisor.calibration.charts import latency_chart
from costadvisor.calibration.estimate import job_estimate
from costadvisor.calibration.forms import JobForm, initial_from
from costadvisor.calibration.gates import enter_job, enter_record
from costadvisor.calibration.import_form import ImportForm, in_words
from costadvisor.calibration.model_folders import model_folders
from costadvisor.calibration.models import CalibrationJob, CalibrationRecord
from costadvisor.calibration.progress import STARTING
from costadvisor.calibration.selectors import job_find, job_list, record_list
from costadvisor.calibration.services.imports import measurement_import
from costadvisor.calibration.services.jobs import job_cancel, job_create, job_enqueue
from costadvisor.charts.chart import LineChart
from costadvisor.common.refusal import Refusal
from costadvisor.workloads.selectors import workload_find, workload_list
from engine.errors import InputError


@require_GET
def index(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug)
    organization = membership.organization
    context = {
        "membership": membership,
        "jobs": job_list(organization=organization),
        "records": record_list(organization=organization),
    }
    return render(request, "calibration/index.html", context)


@require_http_methods(["GET", "POST"])
def create(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug, Role.EDITOR)
    form = JobForm(
        request.POST or None,
        workloads=[(workload.pk, workload.name) for workload in workload_list(organization=membership.organization)],
        models=list(model_folders()),
        initial=_earlier_answers(request, membership),
    )
    if form.is_valid():
        try:
            return redirect("calibration:job", organization_slug, _create(membership, form).pk)
        except Refusal as refusal:
            form.add_error(refusal.field, str(refusal))
    return render(request, "calibration/form.html", {"membership": membership, "form": form})


@require_GET
def job(request: HttpRequest, organization_slug: str, job_id: int) -> HttpResponse:
    membership, found = enter_job(request, organization_slug, job_id)
    context = _job_context(membership, found) | {"estimate": job_estimate(found)}
    return render(request, "calibration/job.html", context)


@require_GET
def progress(request: HttpRequest, organization_slug: str, job_id: int) -> HttpResponse:
    """The part of the job's page that changes; once the job has ended, the whole page does."""
    membership, found = enter_job(request, organization_slug, job_id)
    if not found.is_unfinished:
        return HttpResponseClientRefresh()
    return render(request, "calibration/progress.html", _job_context(membership, found))


@require_POST
def start(request: HttpRequest, organization_slug: str, job_id: int) -> HttpResponse:
    membership, found = enter_job(request, organization_slug, job_id, Role.EDITOR)
    try:
        job_enqueue(job=found, actor=membership.user, now=timezone.now())
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("calibration:job", organization_slug, job_id)


@require_POST
def cancel(request: HttpRequest, organization_slug: str, job_id: int) -> HttpResponse:
    membership, found = enter_job(request, organization_slug, job_id, Role.EDITOR)
    try:
        job_cancel(job=found, actor=membership.user, now=timezone.now())
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("calibration:job", organization_slug, job_id)


@require_http_methods(["GET", "POST"])
def import_record(request: HttpRequest, organization_slug: str) -> HttpResponse:
    membership = enter(request, organization_slug, Role.EDITOR)
    sent = request.method == "POST"  # one of our records comes with a file and no word
    form = ImportForm(request.POST if sent else None, request.FILES if sent else None)
    if form.is_valid():
        try:
            stored = _import(membership, form)
            return redirect("calibration:record", organization_slug, stored.pk)
        except Refusal as refusal:
            form.add_error(refusal.field, str(refusal))
    return render(request, "calibration/import.html", {"membership": membership, "form": form})


@require_GET
def record(request: HttpRequest, organization_slug: str, record_id: int) -> HttpResponse:
    membership, stored = enter_record(request, organization_slug, record_id)
    content = stored.content
    chart = latency_chart(content)
    context = {
        "membership": membership,
        "record": stored,
        "content": content,
        "answer": page.answer_sentence(content),
        "facts": page.fact_rows(content),
        "levels": page.level_rows(content),
        "compared": page.compared_rows(content),
        "flags": page.flag_rows(content),
        "provenance": page.provenance_rows(content),
        "chart": chart,
        "chart_image": _image(chart) if chart else "",
    }
    return render(request, "calibration/record.html", context)


@require_GET
def download(request: HttpRequest, organization_slug: str, record_id: int) -> HttpResponse:
    """The record's canonical JSON: the very bytes that its hash is of."""
    _, stored = enter_record(request, organization_slug, record_id)
    answer = HttpResponse(stored.canonical_json, content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="calibration-{stored.sha256[:12]}.json"'
    return answer


def _create(membership: Membership, form: JobForm) -> CalibrationJob:
    workload = workload_find(organization=membership.organization, workload_id=form.workload_id)
    if workload is None:
        raise Refusal("There is no such workload.", field="workload")
    return job_create(organization=membership.organization, actor=membership.user, workload=workload, spec=form.spec())


def _import(membership: Membership, form: ImportForm) -> CalibrationRecord:
    files = [(file.name or "file", file.read()) for file in form.cleaned_data["file"]]
    try:
        return measurement_import(
            organization=membership.organization, actor=membership.user, files=files, given=form.given()
        )
    except InputError as error:
        raise in_words(error) from error


def _earlier_answers(request: HttpRequest, membership: Membership) -> dict[str, object]:
    """`?like=JOB` starts from an earlier job's answers, `?workload=ID` from a workload."""
    like, workload = request.GET.get("like", ""), request.GET.get("workload", "")
    earlier = job_find(organization=membership.organization, job_id=int(like)) if _is_id(like) else None
    return initial_from(earlier) if earlier else {"workload": workload}


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _job_context(membership: Membership, found: CalibrationJob) -> dict[str, object]:
    now = timezone.now()
    return {
        "membership": membership,
        "job": found,
        "progress": found.progress or STARTING,
        "used_s": found.seconds_used(now),
        "used_usd": found.usd_used(now),
    }


def _image(chart: LineChart) -> str:
    """The chart as an address of its own content: pages allow no style attributes, images may have them."""
    # matplotlib takes half a second and 60 MB: only a process that draws pays for it.
    from costadvisor.charts.svg import svg

    return f"data:image/svg+xml;base64,{b64encode(svg(chart).encode()).decode()}"
