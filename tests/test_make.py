"""What the Makefile would do, without doing it."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_clean_leaves_the_users_database_alone() -> None:
    told = subprocess.run(
        ["make", "-n", "--no-print-directory", "clean"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines() == ["rm -rf .venv"]
