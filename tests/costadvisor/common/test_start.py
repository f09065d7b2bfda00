"""How the web process starts: small, quick, without torch; and not at all with bad settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "costadvisor.settings.production",
    "SECRET_KEY": "4mJ2-uV8_xQ1kR7tY3wZ9bN5cL6dF0gH-sA2pE8iO4vX1qT7yU3r",
    "ALLOWED_HOSTS": "advisor.example.com",
    "DATABASE_URL": "sqlite:////tmp/never-opened.sqlite3",
    "BROKER_URL": "amqp://user:secret@broker.internal:5672/advisor",
}
START = """
import json, pathlib, sys, time
began = time.monotonic()
from costadvisor.wsgi import application
from django.urls import get_resolver
get_resolver().url_patterns
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
peak_mb = int(status["VmHWM"].split()[0]) / 1024  # ru_maxrss would count the parent that forked us
print(json.dumps({"seconds": time.monotonic() - began, "peak_mb": peak_mb, "modules": sorted(sys.modules)}))
"""


def run(*arguments: str, environment: dict[str, str], var: Path) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], "COSTADVISOR_VAR": str(var)} | environment
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_web_process_is_small_quick_and_without_torch(tmp_path: Path) -> None:
    result = run("-c", START, environment={"DJANGO_SETTINGS_MODULE": "costadvisor.settings.development"}, var=tmp_path)
    assert result.returncode == 0, result.stderr
    started = json.loads(result.stdout)
    heavy = {"torch", "triton", "transformers", "kernels", "matplotlib", "weasyprint", "polars", "pandas"}
    assert not heavy & set(started["modules"])
    assert started["seconds"] < 3
    assert started["peak_mb"] < 150


def test_production_passes_the_deployment_checks(tmp_path: Path) -> None:
    result = run("manage.py", "check", "--deploy", "--fail-level", "INFO", environment=PRODUCTION, var=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "BROKER_URL"])
def test_production_refuses_to_start_half_set_up(missing: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in PRODUCTION.items() if name != missing}
    result = run("manage.py", "check", environment=environment, var=tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [result.stderr.strip()], "one line"
    assert f"{missing} is not set; " in result.stderr


def test_development_needs_no_variables(tmp_path: Path) -> None:
    result = run("manage.py", "migrate", "--check", environment={}, var=tmp_path)
    assert result.returncode == 1, "migrations are due"
    assert (tmp_path / "costadvisor.sqlite3").exists()
    assert (tmp_path / "broker" / "messages").is_dir()


def test_every_model_change_has_its_migration(tmp_path: Path) -> None:
    result = run("manage.py", "makemigrations", "--check", "--dry-run", environment={}, var=tmp_path)
    assert result.returncode == 0, result.stdout
