"""Logging in and out."""

from django.test import Client

from costadvisor.accounts.models import Organization, User

PASSWORD = "correct horse 7"


def test_the_right_password_opens_and_a_wrong_one_does_not(acme: Organization, alice: User) -> None:
    client = Client()
    refused = client.post("/login/", {"username": "alice@example.com", "password": "wrong"})
    assert refused.status_code == 200
    assert b"do not belong together" in refused.content
    # Letter case of the address does not matter.
    entered = client.post("/login/", {"username": "Alice@Example.com", "password": PASSWORD}, follow=True)
    assert entered.redirect_chain[-1][0] == "/o/acme/"
    assert b"Acme: where we stand" in entered.content


def test_logging_out_takes_a_post_and_closes_the_rooms(acme: Organization, alice: User) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/").status_code == 302
    answer = client.get("/o/acme/spend/")
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/o/acme/spend/")


def test_a_switched_off_account_stays_outside(acme: Organization, alice: User) -> None:
    alice.is_active = False
    alice.save()
    answer = Client().post("/login/", {"username": "alice@example.com", "password": PASSWORD})
    assert answer.status_code == 200


def test_a_form_from_another_site_is_refused(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/login/", {"username": "alice@example.com", "password": PASSWORD})
    assert answer.status_code == 403
    assert b"This form has expired" in answer.content


def test_pages_forbid_inline_scripts_and_frames() -> None:
    policy = Client().get("/login/")["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
