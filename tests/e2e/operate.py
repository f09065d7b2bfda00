"""What people do in an installation, as one command: `operate.py start N | cancel JOB | claim BARRIER | bill FILE`."""

import os
import sys
import time
from pathlib import Path

import django

django.setup()

from django.utils import timezone  # noqa: E402

from costadvisor.accounts.models import Organization, User  # noqa: E402
from costadvisor.accounts.services import organization_create, user_create  # noqa: E402
from costadvisor.calibration.models import CalibrationJob, Device, JobState, Tier  # noqa: E402
from costadvisor.calibration.services.jobs import JobSpec, job_cancel, job_create, job_enqueue  # noqa: E402
from costadvisor.calibration.services.leases import job_claim  # noqa: E402
from costadvisor.common.refusal import Refusal  # noqa: E402
from costadvisor.spend.models import BillImport  # noqa: E402
from costadvisor.spend.services import upload_confirm, upload_create  # noqa: E402
from costadvisor.workloads.models import Workload  # noqa: E402
from costadvisor.workloads.profile import Profile, assumed  # noqa: E402
from costadvisor.workloads.services import workload_create  # noqa: E402


def start(count: str) -> None:
    """Queues jobs of the tiny model; prints their ids."""
    alice = user_create(email="alice@example.com", password="correct horse 7")
    acme = organization_create(name="Acme", admin=alice)
    workload = chat(acme, alice)
    spec = JobSpec(model_name="tiny", device=Device.CPU, tier=Tier.QUICK, max_minutes=0.5)
    for _ in range(int(count)):
        job = job_create(organization=acme, actor=alice, workload=workload, spec=spec)
        job_enqueue(job=job, actor=alice, now=timezone.now())
        print(job.pk)


def chat(acme: Organization, alice: User) -> Workload:
    profile = Profile(requests_per_month=assumed(1000.0), input_tokens=assumed(32.0), output_tokens=assumed(8.0))
    return workload_create(organization=acme, actor=alice, name="Chat", profile=profile)


def cancel(job_id: str) -> None:
    job_cancel(job=CalibrationJob.objects.get(pk=job_id), actor=User.objects.get(), now=timezone.now())


def claim(barrier: str) -> None:
    """Claims every queued job as fast as it can, from the moment the file is there; prints the ids that it won."""
    jobs = list(CalibrationJob.objects.filter(state=JobState.QUEUED).values_list("pk", flat=True))
    print("ready", flush=True)
    while not Path(barrier).exists():
        time.sleep(0.001)
    for job_id in jobs:
        if job_claim(job_id=job_id, attempt=1, worker_id=f"claimer:{os.getpid()}", now=timezone.now()):
            print(job_id)


def bill(file: str) -> None:
    """Reads a file, and stores it as soon as another file, FILE.go, is there; prints how many rows were new."""
    acme = Organization.objects.get()
    with Path(file).open("rb") as content:
        upload = upload_create(
            organization=acme, actor=acme.memberships.get().user, file_name="bill.csv", content=content
        )
    print("ready", flush=True)
    while not Path(f"{file}.go").exists():
        time.sleep(0.001)
    try:
        upload_confirm(upload=upload, actor=upload.created_by, leave_out_bad_lines=False)
    except Refusal as refusal:
        print(f"refused: {refusal}")
    else:
        print(BillImport.objects.latest("pk").rows_added)


if __name__ == "__main__":
    {"start": start, "cancel": cancel, "claim": claim, "bill": bill}[sys.argv[1]](sys.argv[2])
