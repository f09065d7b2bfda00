"""Many processes at one database file: a job has one winner."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

OPERATE = Path(__file__).parent / "operate.py"
JOBS, CLAIMERS = 40, 4


def test_of_many_claimers_one_wins_each_job(installation: Any) -> None:
    jobs = installation.operate("start", str(JOBS))
    barrier = installation.folder / "go"
    claimers = [
        subprocess.Popen(
            [sys.executable, str(OPERATE), "claim", str(barrier)],
            env=installation.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(CLAIMERS)
    ]
    for claimer in claimers:
        assert claimer.stdout is not None
        assert claimer.stdout.readline() == "ready\n"
    barrier.touch()
    won = [claimer.communicate(timeout=120)[0].split() for claimer in claimers]
    assert Counter(job for jobs_won in won for job in jobs_won) == Counter(dict.fromkeys(jobs, 1))
    # Otherwise they came one after the other and the test has shown nothing.
    assert sum(bool(jobs_won) for jobs_won in won) > 1
