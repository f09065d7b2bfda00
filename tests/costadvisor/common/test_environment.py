"""Settings from the environment: a bad value is refused in one line that says what is right."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from costadvisor.common import environment


def test_an_unknown_word_is_no_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD", "ture")
    with pytest.raises(ImproperlyConfigured, match="GUARD is 'ture', which is neither yes nor no; write true or false"):
        environment.flag("GUARD", default=True)
    monkeypatch.setenv("GUARD", "Off")
    assert environment.flag("GUARD", default=True) is False


@pytest.mark.parametrize("value", ["", "mysql://u:p@h/d", "costadvisor.sqlite3", "postgres://u:p@h:5432/"])
def test_a_database_we_cannot_use_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DATABASE_URL", value)
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL .*; write sqlite:"):
        environment.database("DATABASE_URL")


def test_a_postgres_url_becomes_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:s3cret@db.internal:5433/advisor")
    config = environment.database("DATABASE_URL")
    assert config["ENGINE"] == "django.db.backends.postgresql"
    assert (config["HOST"], config["PORT"], config["NAME"]) == ("db.internal", 5433, "advisor")


@pytest.mark.parametrize("value", ["*", "https://advisor.example.com", "advisor.example.com:443", " , "])
def test_a_host_is_a_bare_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", value)
    with pytest.raises(ImproperlyConfigured, match="ALLOWED_HOSTS"):
        environment.host_names("ALLOWED_HOSTS")


@pytest.mark.parametrize("value", ["short", "a" * 80])
def test_a_secret_must_be_long_and_varied(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SECRET_KEY", value)
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is too short or too plain"):
        environment.secret("SECRET_KEY", min_length=50)


@pytest.mark.parametrize("value", ["-1", "1.5", "ten", "99999999999999999999"])
def test_a_whole_number_has_bounds(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HSTS_SECONDS", value)
    with pytest.raises(ImproperlyConfigured, match="write a whole number from 0 to 100"):
        environment.whole_number("HSTS_SECONDS", default=5, minimum=0, maximum=100)
