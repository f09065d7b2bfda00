"""The product on PostgreSQL and Redis, as it is operated: workers, lost brokers, races, exact money."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import servers
from tests.e2e.conftest import HERE, ROOT, Installation, save_tiny_llama
from tests.e2e.test_worker import at_work, ended
from tests.e2e.test_worker_claims import OPERATE

pytestmark = pytest.mark.xdist_group("servers")
# Whose outcome depends on the database: unique constraints, exact sums, JSON, all or nothing, what a dump has.
ON_POSTGRES = (
    "tests/costadvisor/spend/test_import_pages.py",
    "tests/costadvisor/spend/test_import_sums.py",
    "tests/costadvisor/spend/test_spend_api.py",
    "tests/costadvisor/spend/test_privacy.py",
    "tests/costadvisor/calibration/test_job_states.py",
    "tests/costadvisor/audit",
)
HEADER = "month,provider,model,requests,input_tokens,cached_input_tokens,output_tokens,cost,currency\n"


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    with servers.postgres() as url:
        yield url


@pytest.fixture(scope="module")
def broker_url() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.fixture
def served(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation on both, its tables made from nothing."""
    made = Installation(tmp_path / "installation")
    made.folder.mkdir()
    made.environment |= {"DATABASE_URL": database_url, "BROKER_URL": broker_url}
    made.python("manage.py", "migrate", "--verbosity=0")
    save_tiny_llama(made.var / "models" / "tiny")
    yield made
    made.close()
    made.python("manage.py", "flush", "--no-input", "--verbosity=0")


def test_a_killed_worker_is_followed_by_another_that_ends_its_job(served: Installation) -> None:
    job = int(served.operate("start", "1")[0])
    worker = served.start_worker(pool="prefork")
    served.wait_for(job, at_work)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert served.all_ended()
    successor = served.start_worker()
    row = served.wait_for(job, ended)
    assert (row["state"], row["attempts"], row["failure_message"]) == ("succeeded", 2, "")
    assert f":{successor.pid} " in row["worker_id"]
    (record,) = served.query("SELECT * FROM calibration_calibrationrecord")
    assert '"complete":true' in record["canonical_json"]


def test_a_job_queued_while_the_broker_is_down_is_worked_on_when_it_is_back(served: Installation) -> None:
    port = servers.free_port()
    served.environment["BROKER_URL"] = f"redis://127.0.0.1:{port}/0"
    job = int(served.operate("start", "1")[0])
    assert served.row(job)["state"] == "queued"
    with servers.redis(port):
        served.start_worker(fake_engine="refuse")
        row = served.wait_for(job, ended)
    assert (row["failure_code"], row["attempts"]) == ("refused", 1)


def test_of_many_claimers_one_wins_each_job(served: Installation) -> None:
    jobs = served.operate("start", "30")
    barrier = served.folder / "go"
    won = _at_once(served, barrier, ["claim", str(barrier)], 4)
    assert Counter(job for jobs_won in won for job in jobs_won) == Counter(dict.fromkeys(jobs, 1))
    assert sum(bool(jobs_won) for jobs_won in won) > 1


def test_a_file_that_two_people_store_at_once_is_stored_once(served: Installation) -> None:
    served.operate("start", "1")  # for the organization
    lines = [f"2026-10,openai,model-{number},10,1000,0,100,0.{number:030d},USD" for number in range(1, 2001)]
    file = served.folder / "bill.csv"
    file.write_text(HEADER + "\n".join(lines))
    told = _at_once(served, Path(f"{file}.go"), ["bill", str(file)], 3)
    added = sorted(" ".join(words) for words in told)
    assert added.count("2000") == 1, added
    assert all(words in ("0", "2000") or words.startswith("refused:") for words in added), added
    rows = served.query("SELECT cost, cost_rest FROM spend_spendline WHERE superseded_by_id IS NULL")
    assert len(rows) == 2000
    assert {row["cost"] for row in rows} == {0}, "each is less than a billionth"
    assert len({row["cost_rest"] for row in rows}) == 2000, "and none of its thirty decimals is lost"


def test_the_suite_whose_outcome_depends_on_the_database_passes_on_postgres(database_url: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--create-db", *ON_POSTGRES],
        cwd=ROOT,
        env=environment | {"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]


def _at_once(served: Installation, barrier: Path, arguments: list[str], many: int) -> list[list[str]]:
    """What so many processes say, each of which waits for the barrier when it is ready."""
    environment = served.environment | {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}
    command = [sys.executable, str(OPERATE), *arguments]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(many)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    barrier.touch()
    return [process.communicate(timeout=120)[0].split() for process in processes]
