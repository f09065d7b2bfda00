"""A request larger than any upload is refused before it is read."""

from django.test import Client, override_settings


@override_settings(MAX_REQUEST_BYTES=1000)
def test_an_over_large_request_is_refused_and_a_small_one_is_not() -> None:
    answer = Client().post("/login/", {"username": "a" * 2000})
    assert answer.status_code == 413
    assert b"too large" in answer.content
    assert Client().get("/login/").status_code == 200


def test_a_length_that_is_no_number_is_refused() -> None:
    assert Client().get("/login/", CONTENT_LENGTH="-1").status_code == 413
