"""What a calibration will take and cost, told before it starts."""

from dataclasses import dataclass
from decimal import Decimal

from costadvisor.calibration.models import CalibrationJob

USUAL_SHARE = 0.75  # of its time limit; the engine plans its levels for this


@dataclass(frozen=True)
class Estimate:
    """Seconds and dollars, as planned and at most, for one attempt; dollars are None while no price is known."""

    planned_s: float
    most_s: float
    planned_usd: Decimal | None
    most_usd: Decimal | None


def job_estimate(job: CalibrationJob) -> Estimate:
    most = job.longest_seconds
    planned = USUAL_SHARE * most
    return Estimate(planned, most, job.usd_for(planned), job.usd_for(most))
