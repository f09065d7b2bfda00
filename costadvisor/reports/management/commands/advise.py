"""`manage.py advise CASE.json [--propose [CASE.json]] [--json OUT] [--pdf OUT] [--compare EARLIER.json]`: its answer.

It needs no database and no login.
"""

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from costadvisor.decisions.advise import Advice, advise, advise_case, proposed
from costadvisor.decisions.compared import compared, comparison_text
from costadvisor.decisions.text import answer_text, suggestions_text
from costadvisor.economics import CaseError
from costadvisor.reports.pdf import PdfUnavailableError, recommendation_pdf

REFUSED = 2
NOWHERE = Path()  # `--propose` without a file
GIVE_A_FILE = "give a file in a folder that is there"


class Command(BaseCommand):
    """Exits 0 with an answer, "not enough evidence" included, and 2 for a case it refuses."""

    help = "Decide a case: keep paying the API, or serve the model yourselves?"
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("case", metavar="CASE.json", type=Path, help="the case (docs/case.schema.json)")
        parser.add_argument("--json", metavar="OUT.json", type=Path, help="write the whole evaluation here")
        parser.add_argument("--pdf", metavar="OUT.pdf", type=Path, help="write the recommendation to sign here")
        parser.add_argument("--compare", metavar="EARLIER.json", type=Path, help="say what changed since this case")

        parser.add_argument(
            "--propose",
            metavar="NEW.json",
            type=Path,
            nargs="?",
            const=NOWHERE,
            help="rank options worth comparing, add what is suggested, and write that case here",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            # Checked and made before anything is written, so that a refusal leaves nothing half-done.
            _check_writable(options["json"], options["pdf"], _file(options["propose"]))
            proposal, advice = _advice(options["case"], options["propose"])
            told = _changes(options["compare"], advice)
            pdf = recommendation_pdf(advice.evaluation, advice.case) if options["pdf"] else b""
            _write(options["json"], advice.evaluation.to_json() + b"\n")
            _write(options["pdf"], pdf)
        except (CaseError, PdfUnavailableError) as error:
            self.stderr.write(str(error))
            raise SystemExit(REFUSED) from None
        if proposal:
            self.stdout.write(f"{proposal}\n\n")
        self.stdout.write(answer_text(advice.evaluation, advice.case))
        if told:
            self.stdout.write(f"\n{told}")


def _file(given: Path | None) -> Path | None:
    return None if given == NOWHERE else given


def _advice(file: Path, propose: Path | None) -> tuple[str, Advice]:
    """The answer; with what was proposed before it, and the case with that in it written where that is asked for."""
    if propose is None:
        return "", advise(file)
    found, case = proposed(file)
    advice = advise_case(case, file.parent)
    _write(_file(propose), json.dumps(case, indent=2).encode() + b"\n")
    return suggestions_text(found), advice


def _changes(earlier: Path | None, advice: Advice) -> str:
    """What changed since an earlier case, and how far each change moved the answer."""
    if earlier is None:
        return ""
    before = advise(earlier)
    said = compared((before.case, before.evaluation), (advice.case, advice.evaluation))
    return comparison_text(said)


def _check_writable(*files: Path | None) -> None:
    for file in filter(None, files):
        if file.is_dir():
            raise CaseError(str(file), "can't be written (it is a folder)", GIVE_A_FILE)
        if not file.parent.is_dir():
            raise CaseError(str(file), "can't be written (its folder is not there)", GIVE_A_FILE)
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise CaseError(str(file), "can't be written (permission denied)", GIVE_A_FILE)


def _write(file: Path | None, content: bytes) -> None:
    if file is None:
        return
    try:
        file.write_bytes(content)
    except OSError as error:
        raise CaseError(str(file), f"can't be written ({error.strerror})", GIVE_A_FILE) from None
