"""A finance lead's way in a real browser: log in, look round, read the decision, issue it, save the page to sign."""

import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, Response, expect, sync_playwright

from tests.costadvisor.home.demo_record import demo_record
from tests.e2e.site import Site, serve

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture
def site(installation: Any) -> Iterator[Site]:
    running = serve(installation)
    yield running
    running.command.send_signal(signal.SIGINT)
    running.command.communicate(timeout=120)


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of this size. The test fails with anything that the browser complained of, a broken CSP included."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=FLAGS)
        width, height = SIZES[request.param]
        opened = browser.new_page(viewport={"width": width, "height": height})
        complaints = listen(opened)
        yield opened
        browser.close()
        assert complaints == []


def listen(page: Page) -> list[str]:
    """What the browser complains of, from now on."""
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def look(answer: Response) -> None:
        if answer.status >= 400:
            complaints.append(f"{answer.status} {answer.url}")

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", look)
    return complaints


def _chromium() -> str:
    """Of the system: the tests fetch no browser."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("no chromium on PATH: apt-get install chromium")
    return found


def fits(page: Page, heading: str) -> None:
    """The page with this heading is shown, and nothing of it is wider than the screen."""
    expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0, f"{heading}: {wide} px too wide"


def all_in_view(page: Page, region: str) -> None:
    """Nothing of the table has to be scrolled to."""
    hidden = page.get_by_role("region", name=region).evaluate("box => box.scrollWidth - box.clientWidth")
    assert hidden == 0, f"{region}: {hidden} px out of view"


def test_from_login_to_the_page_to_sign(page: Page, site: Site, installation: Any, tmp_path: Path) -> None:
    page.goto(site.address)
    fits(page, "Log in")
    page.get_by_label("E-mail address").fill(site.email)
    page.get_by_label("Password").fill(site.password)
    page.get_by_role("button", name="Log in").click()
    fits(page, "Demo: where we stand")
    for room in ("Spend", "Workloads", "Calibrations"):
        page.get_by_role("navigation", name="Rooms").get_by_role("link", name=room).click()
        fits(page, room)
    import_record(page, tmp_path)

    page.get_by_role("navigation", name="Rooms").get_by_role("link", name="Decisions").click()
    page.get_by_role("link", name="Support assistant (illustrative)").click()
    fits(page, "Support assistant (illustrative)")
    expect(page.locator(".verdict")).to_contain_text("Move to qwen3-8b at alibaba")
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    fits(page, "Support assistant (illustrative)")
    if page.evaluate("innerWidth") >= SIZES["desktop"][0]:
        all_in_view(page, "Assumptions with a range")
    page.get_by_role("button", name=re.compile("^Issue")).click()
    fits(page, "Support assistant (illustrative), version 1")

    with page.expect_download() as download:
        page.get_by_role("link", name="The page to sign (PDF)").click()
    pdf = download.value.path().read_bytes()
    assert pdf.startswith(b"%PDF")
    (document,) = installation.query("SELECT sha256 FROM reports_document")
    assert hashlib.sha256(pdf).hexdigest() == document["sha256"]


def import_record(page: Page, folder: Path) -> None:
    """A calibration that was made elsewhere."""
    record = folder / "record.json"
    record.write_text(json.dumps(demo_record()))
    page.get_by_role("link", name="Import a measurement").click()
    page.get_by_label("Result files").set_input_files(record)
    page.get_by_role("button", name="Import").click()
    fits(page, "SmolLM2-135M-Instruct on Example CPU")
