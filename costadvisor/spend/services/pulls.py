"""Fetches reports by an organization's keys, and stores them as an uploaded file is stored."""

import logging
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import F, Q, QuerySet

from costadvisor.common.refusal import Refusal
from costadvisor.spend import staging
from costadvisor.spend.formats.registry import FORMATS
from costadvisor.spend.models import BillPull, PendingUpload, Provider, PullState, UploadState
from costadvisor.spend.previews import upload_preview, upload_summary
from costadvisor.spend.provider_keys import unseal
from costadvisor.spend.pulling.http import Bounds, KeyRefused, PullError, RequestRefused, TooOften, Unreachable
from costadvisor.spend.pulling.paging import Page, Patience, page_get
from costadvisor.spend.pulling.reports import APIS
from costadvisor.spend.services.imports import import_commit
from costadvisor.spend.services.uploads import upload_discard, upload_read_mapped

logger = logging.getLogger(__name__)
LOST_AFTER = timedelta(minutes=10)  # longer than one page can take with all its tries
AGAIN_DAYS = timedelta(days=7)  # providers correct the last days
_NO_PAGES = {"folder": "", "cursor": "", "pages": 0, "file_bytes": 0}
EVERY, AFTER_A_FAILURE = timedelta(hours=23), timedelta(hours=3)


class _Lost(Exception):
    """Another process has taken the pull over, or its key is gone."""


def pulls_due(*, now: datetime) -> QuerySet[BillPull]:
    """What a schedule is to fetch: what was not fetched for a day, and what is to go on."""
    waiting = Q(next_at=None) | Q(next_at__lte=now)
    return BillPull.objects.filter(waiting).exclude(state=PullState.REFUSED)


def pull_run(*, pull: BillPull, now: datetime) -> BillPull:
    """Fetches and stores what is new; goes on where an earlier run was interrupted. The pull says how it went.

    Returns at once where another process is at it, or the provider wants to be left alone still.
    """
    asked_to_wait = pull.state == PullState.WAITING and pull.next_at is not None and pull.next_at > now
    if asked_to_wait or not _claim(pull, now):
        return pull
    with suppress(_Lost):
        try:
            _fetch(pull, now)
            _store(pull, now)
        except TooOften as error:
            _end(pull, PullState.WAITING, str(error), now + timedelta(seconds=error.wait_s))
        except KeyRefused as error:
            needed = APIS[pull.key.provider].needs
            _end(pull, PullState.REFUSED, f"{error} It takes {needed}. Set another one.", None)
        except Unreachable as error:
            _end(pull, PullState.FAILED, str(error), now + AFTER_A_FAILURE)
        except (PullError, Refusal) as error:
            _update(pull, **_NO_PAGES)
            _end(pull, PullState.FAILED, str(error), now + AFTER_A_FAILURE)
        except Exception:
            _end(pull, PullState.FAILED, "Something went wrong; the log has what.", now + AFTER_A_FAILURE)
            raise
    return pull


def _claim(pull: BillPull, now: datetime) -> bool:
    lease = uuid.uuid4().hex
    free = Q(lease="") | Q(heard_of_at__lt=now - LOST_AFTER)
    found = BillPull.objects.filter(free, pk=pull.pk).update(
        lease=lease, heard_of_at=now, state=PullState.RUNNING, message=""
    )
    with suppress(BillPull.DoesNotExist):
        pull.refresh_from_db()
    return bool(found)


def _update(pull: BillPull, **values: object) -> None:
    """Writes as long as the pull is ours."""
    if not BillPull.objects.filter(pk=pull.pk, lease=pull.lease).update(**values):
        raise _Lost
    pull.refresh_from_db()


def _end(pull: BillPull, state: PullState, message: str, next_at: datetime | None) -> None:
    _update(pull, state=state, message=message[:500], next_at=next_at, lease="")
    logger.info("Bills of %s, %s: %s. %s", pull.key.get_provider_display(), pull.report, state.label, message)


def _fetch(pull: BillPull, now: datetime) -> None:
    """All pages, each into the file before its cursor is forgotten."""
    if not _can_go_on(pull):
        _begin(pull, now)
    try:
        _pages(pull)
    except RequestRefused:
        if not pull.pages:
            raise
        _begin(pull, now)  # the cursor was too old
        _pages(pull)


def _can_go_on(pull: BillPull) -> bool:
    path = settings.BILL_UPLOADS_DIR / pull.folder / "file"
    return bool(pull.folder and pull.cursor) and path.exists() and path.stat().st_size >= pull.file_bytes


def _begin(pull: BillPull, now: datetime) -> None:
    """Whole days, up to yesterday in UTC: today's figures still grow."""
    first = pull.key.since if pull.done_until is None else max(pull.key.since, pull.done_until - AGAIN_DAYS)
    today = now.astimezone(UTC).date()
    if first >= today:
        raise Refusal(f"There is nothing to fetch before {first:%Y-%m-%d} is over.")
    folder = staging.folder_make()
    _update(pull, **_NO_PAGES | {"folder": folder}, first_day=first, end_day=today, upload=None)


def _pages(pull: BillPull) -> None:
    api, secret = APIS[pull.key.provider], unseal(pull.key.sealed)
    report = api.report(pull.report)
    query = report.query(pull.first_day, pull.end_day)
    url, headers = settings.BILL_PULL_URLS[pull.key.provider] + report.path, api.headers(secret.reveal())
    while pull.cursor or not pull.pages:
        at = [("page", pull.cursor)] if pull.cursor else []
        page = page_get(url, [*query, *at], headers, _bounds(), _patience())
        if page.cursor and page.cursor == pull.cursor:
            raise PullError("Its pages lead nowhere: the next one is the one it just gave.")
        _keep(pull, page)


def _bounds() -> Bounds:
    return Bounds(settings.BILL_PULL_SILENT_S, settings.BILL_PULL_WHOLE_S, settings.BILL_MAX_JSON_BYTES)


def _patience() -> Patience:
    return Patience(settings.BILL_PULL_TRIES, settings.BILL_PULL_BACKOFF_S, settings.BILL_PULL_LONGEST_WAIT_S)


def _keep(pull: BillPull, page: Page) -> None:
    size = pull.file_bytes + len(page.line) + 1
    if size > settings.BILL_MAX_BYTES or pull.pages >= settings.BILL_PULL_MOST_PAGES:
        raise PullError(
            "It has more pages than are taken (BILL_MAX_BYTES, BILL_PULL_MOST_PAGES). Begin on a later day."
        )
    path = settings.BILL_UPLOADS_DIR / pull.folder / "file"
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(pull.file_bytes)  # a page that a killed run wrote half of is written over
        file.write(page.line + b"\n")
        file.truncate()
    _update(pull, cursor=page.cursor, pages=F("pages") + 1, file_bytes=size, heard_of_at=datetime.now(UTC))


def _store(pull: BillPull, now: datetime) -> None:
    """Like a file that a person confirms; held for one where it would count something twice."""
    upload = _upload(pull)
    try:
        upload_read_mapped(upload=upload, form=FORMATS[pull.report])
        staging.file_forget(upload)
        _refuse_unreadable(upload)
        preview = upload_preview(upload=upload)
        if not preview.plan.changes_something:
            upload_discard(upload=upload)
            _done(pull, PullState.UNCHANGED, "")
        elif preview.overlaps:
            _update(pull, upload=upload)
            _end(pull, PullState.HELD, preview.overlaps[0], now + EVERY)
        else:
            stored = import_commit(upload=upload, actor=None)
            _done(pull, PullState.STORED, f"{stored.rows_added:,} rows new, {stored.rows_revised:,} revised.")
    except BaseException:
        if upload.state != UploadState.STORED:
            upload_discard(upload=upload)
        raise


def _done(pull: BillPull, state: PullState, message: str) -> None:
    _update(pull, **_NO_PAGES, done_until=pull.end_day)
    _end(pull, state, message, datetime.now(UTC) + EVERY)


def _upload(pull: BillPull) -> PendingUpload:
    provider = Provider(pull.key.provider).label
    last = pull.end_day - timedelta(days=1)
    return PendingUpload.objects.create(
        organization=pull.key.organization,
        origin=f"fetched from {provider}",
        file_name=f"{FORMATS[pull.report].LABEL}, {pull.first_day} to {last}",
        size_bytes=pull.file_bytes,
        received_bytes=pull.file_bytes,
        sha256=staging.sha256_of(settings.BILL_UPLOADS_DIR / pull.folder / "file"),
        folder=pull.folder,
    )


def _refuse_unreadable(upload: PendingUpload) -> None:
    summary = upload_summary(upload=upload)
    if summary.problem_count:
        first = summary.problems[0]
        raise Refusal(
            f"{summary.problem_count:,} parts of its answer cannot be read, and nothing was stored. The first:"
            f" {first.where}, {first.field} {first.reason}."
        )
