"""`POST /api/v1/evaluate`: the evaluation of a case, or one error with the path of the field; never a 500."""

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from costadvisor.accounts.models import ApiToken, Organization, Scope
from costadvisor.accounts.services import token_create, token_revoke
from costadvisor.decisions.advise import advise_case
from tests.costadvisor.economics.cases import api, case, fleet
from tests.costadvisor.economics.test_fuzz import mutated, whole_case
from tests.costadvisor.economics.test_parse import REFUSED, written

ADDRESS = "/api/v1/evaluate"


@pytest.fixture
def secret(acme: Organization) -> str:
    return token_create(organization=acme, name="ci", scopes=[Scope.EVALUATE], days=30, now=timezone.now())[1]


@pytest.fixture(autouse=True)
def unhurried(settings: Any) -> None:
    settings.API_CALLS_PER_MINUTE = 10_000


def post(content: Any, secret: str = "", **more: Any) -> Any:
    body = content if isinstance(content, str | bytes) else json.dumps(content)
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return Client().post(ADDRESS, body, **{"content_type": "application/json", "headers": headers} | more)


def error_of(answer: Any) -> tuple[Any, str]:
    """(field, message) of the one error."""
    content = answer.json()
    (error,) = content["errors"]
    assert content.keys() == {"type", "errors"}
    assert error.keys() == {"code", "detail", "attr"}
    return error["attr"], error["detail"]


def test_the_answer_is_what_the_command_line_gives(secret: str) -> None:
    content = case(api(), fleet())
    answer = post(content, secret)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.content == advise_case(content, Path()).evaluation.to_json()


def test_a_price_left_out_is_looked_up(secret: str) -> None:
    listed = api(prices=None) | {"prices": None, "model": "gpt-4.1-mini"}
    answer = post(case(listed, fleet()), secret)
    assert answer.status_code == 200
    assert any(row["field"] == "/options/today/prices" and row["grade"] == "D" for row in answer.json()["evidence"])


@pytest.mark.parametrize(("field", "value", "path", "says"), REFUSED[::4])
def test_a_refused_case_names_its_field(secret: str, field: str, value: Any, path: str, says: str) -> None:
    answer = post(json.dumps(written(field, value)), secret)
    assert answer.status_code == 400
    attr, detail = error_of(answer)
    assert attr == path
    assert says in detail or says in f"{attr}: {detail}"


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", "\0", b"\xff\xfe", "[" * 50_000, '{"draws": ' + "9" * 5000 + "}"]
)
def test_a_body_that_is_no_case_is_refused(secret: str, body: Any) -> None:
    assert post(body, secret).status_code == 400


def test_files_are_read_on_the_command_line_only(secret: str) -> None:
    answer = post(case(api(), workload={"input_tokens": {"trace": "/etc/passwd"}}), secret)
    assert answer.status_code == 400
    assert error_of(answer)[0] == "/workload/input_tokens/trace"
    record = post(case(api(), fleet(capacity={"record": "/etc/passwd"})), secret)
    assert (record.status_code, error_of(record)[0]) == (400, "/options/h100/capacity/record")


def test_size_and_work_are_bounded(secret: str, settings: Any) -> None:
    heavy = case(api(), fleet(), draws=100_000, horizon_months=120)
    answer = post(heavy, secret)
    assert (answer.status_code, error_of(answer)[0]) == (400, "/draws")
    assert "must be at most 20,833 here" in error_of(answer)[1]
    settings.MAX_CASE_BYTES = 500
    too_large = post(case(api(), fleet()), secret)
    assert (too_large.status_code, error_of(too_large)[0]) == (413, None)
    settings.MAX_REQUEST_BYTES = 500
    unread = post(case(api(), fleet()), secret)
    assert (unread.status_code, error_of(unread)[0]) == (413, None)


def test_other_methods_and_forms_are_refused(secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}"}
    assert Client().get(ADDRESS, headers=headers).status_code == 405
    assert post("a=b", secret, content_type="application/x-www-form-urlencoded").status_code == 415


def test_a_token_is_needed_and_one_that_is_over_is_unknown(acme: Organization, secret: str) -> None:
    content = case(api())
    token = ApiToken.objects.get()
    assert post(content, secret).status_code == 200
    for bad in ("", "cadv_wrong", secret[:-1], "é"):
        refused = post(content, bad)
        assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Bearer")
    token.expires_at = timezone.now() - timedelta(seconds=1)
    token.save()
    assert post(content, secret).status_code == 401
    token.expires_at = timezone.now() + timedelta(days=1)
    token.save()
    assert post(content, secret).status_code == 200
    token_revoke(token=token, now=timezone.now())
    assert post(content, secret).status_code == 401


def test_a_session_is_no_token(acme: Organization, alice: Any, log_in: Any) -> None:
    """Nor can a form of another site use one."""
    answer = log_in(alice).post(ADDRESS, json.dumps(case(api())), content_type="application/json")
    assert answer.status_code == 401


def test_a_token_does_only_what_it_is_for(acme: Organization) -> None:
    _, secret = token_create(organization=acme, name="other", scopes=[], days=1, now=timezone.now())
    assert post(case(api()), secret).status_code == 403


def test_calls_are_counted_by_token_and_minute(acme: Organization, secret: str, settings: Any) -> None:
    settings.API_CALLS_PER_MINUTE = 2
    content = case(api(), draws=1)
    assert [post(content, secret).status_code for _ in range(3)] == [200, 200, 429]
    refused = post("{", secret)
    assert (refused.status_code, int(refused["Retry-After"]) > 0) == (429, True)
    _, other = token_create(organization=acme, name="other", scopes=[Scope.EVALUATE], days=1, now=timezone.now())
    assert post(content, other).status_code == 200
    ApiToken.objects.filter(name="ci").update(minute_at=timezone.now() - timedelta(seconds=61))
    assert post(content, secret).status_code == 200


def test_records_of_another_organization_are_unknown(secret: str) -> None:
    answer = post(case(api(), fleet(capacity={"record": "sha256:" + "0" * 64})), secret)
    assert error_of(answer)[0] == "/options/h100/capacity/record"


def test_no_mutated_case_is_a_500(secret: str) -> None:
    chance = random.Random(3)
    codes = set()
    for _ in range(60):
        answer = post(json.dumps(mutated(whole_case(), chance)), secret)
        codes.add(answer.status_code)
        if answer.status_code == 400:
            assert error_of(answer)[0].startswith("/")
    assert codes <= {200, 400}
