"""`manage.py run`: web server and worker as real processes."""

import os
import re
import signal
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, build_opener

from tests.e2e.site import Site, serve


class Visitor:
    """Follows redirects and keeps cookies, as a browser does."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.opener: OpenerDirector = build_opener(ProxyHandler({}), HTTPCookieProcessor(CookieJar()))

    def get(self, path: str) -> str:
        return self._page(path, None)

    def log_in(self, password: str) -> str:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get("login/"))
        assert token
        fields = {"csrfmiddlewaretoken": token[1], "username": self.site.email, "password": password}
        return self._page("login/", urlencode(fields).encode())

    def _page(self, path: str, data: bytes | None) -> str:
        with self.opener.open(self.site.address + path, data, timeout=60) as answer:
            page: str = answer.read().decode()
            return page


def test_it_serves_the_example_until_it_is_interrupted(installation: Any) -> None:
    site = serve(installation)
    assert "void" not in site.said
    visitor = Visitor(site)
    assert "Demo: where we stand" in visitor.log_in(site.password)
    decisions = visitor.get("o/demo/decisions/")
    link = re.search(r'href="/(o/demo/decisions/\d+/)"', decisions)
    assert link
    page = visitor.get(link[1])
    assert "Illustrative data" in page
    assert all(name in page for name in ("gpt-4.1-mini at openai", "qwen3-8b at alibaba", "Qwen3-8B on H100"))
    assert installation.query("SELECT * FROM calibration_calibrationjob") == []
    (user,) = installation.query("SELECT * FROM accounts_user")
    assert site.password not in user["password"]

    os.killpg(site.command.pid, signal.SIGINT)
    out, errors = site.command.communicate(timeout=120)
    assert (site.command.returncode, out, errors) == (0, "\nThe web server and the worker have ended.\n", "")
    assert installation.all_ended(within_s=0)

    again = serve(installation)
    assert f"{again.password} (new: the one before is void)" in again.said
    visitor = Visitor(again)
    assert "do not belong together" in visitor.log_in(site.password)
    assert "Demo: where we stand" in visitor.log_in(again.password)
    again.command.terminate()
    again.command.communicate(timeout=120)
    assert installation.all_ended(within_s=0)


def test_a_worker_that_dies_ends_the_web_server_too(installation: Any) -> None:
    site = serve(installation)
    (worker,) = installation.processes("celery")
    os.kill(worker, signal.SIGKILL)
    _, errors = site.command.communicate(timeout=120)
    assert site.command.returncode == 1
    assert errors.startswith("The worker ended by itself (exit code -9): ")
    assert errors.endswith("The rest is ended too.\n")
    assert errors.count("\n") == 1
    assert installation.all_ended(within_s=0)
