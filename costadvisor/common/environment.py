"""Settings from environment variables. A bad value is refused in one line: variable, what is wrong, what is right."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_DATABASES = {"sqlite": "django.db.backends.sqlite3", "postgres": "django.db.backends.postgresql"}
_HOST_NAME = re.compile(r"\.?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\]")
_env = environ.Env()


def refusal(name: str, wrong: str, right: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name} {wrong}; {right}.")


def text(name: str, *, default: str | None = None, right: str) -> str:
    """The variable as text. Without a default an absent or empty variable is refused; `right` says what to set."""
    value = str(_env.str(name, default="")).strip()
    if value:
        return value
    if default is None:
        raise refusal(name, "is not set", right)
    return default


def flag(name: str, *, default: bool) -> bool:
    # django-environ reads every unknown word as False, so that a typo would switch a guard off.
    word = text(name, default=str(default), right="").lower()
    if word not in _TRUE | _FALSE:
        raise refusal(name, f"is {word!r}, which is neither yes nor no", "write true or false")
    return word in _TRUE


def whole_number(name: str, *, default: int, minimum: int, maximum: int) -> int:
    word = text(name, default=str(default), right="")
    if not re.fullmatch(r"-?\d{1,18}", word) or not minimum <= int(word) <= maximum:
        raise refusal(name, f"is {word!r}", f"write a whole number from {minimum} to {maximum}")
    return int(word)


def host_names(name: str) -> list[str]:
    """Comma-separated host names, at least one, without scheme, port or wildcard."""
    right = "write the host names people use, separated by commas, such as advisor.example.com"
    hosts = [host.strip() for host in text(name, right=right).split(",") if host.strip()]
    if not hosts:
        raise refusal(name, "names no host", right)
    for host in hosts:
        if not _HOST_NAME.fullmatch(host):
            raise refusal(name, f"has {host!r}, which is no host name", right)
    return hosts


def folders(name: str) -> list[Path] | None:
    """Absolute paths of folders, separated as in PATH. None where the variable is not set."""
    listed = text(name, default="", right="")
    if not listed:
        return None
    found = [Path(folder) for folder in listed.split(os.pathsep) if folder]
    for folder in found:
        if not folder.is_absolute() or not folder.is_dir():
            raise refusal(name, f"lists {str(folder)!r}", "list absolute paths of folders that exist")
    return found


def secret(name: str, *, min_length: int, default: str | None = None) -> str:
    right = f"set at least {min_length} random characters, such as the output of `openssl rand -base64 48`"
    value = text(name, default=default, right=right)
    if value == default:
        return value
    if len(value) < min_length or len(set(value)) < 5:
        raise refusal(name, "is too short or too plain to be secret", right)
    return value


def database(name: str, *, default: str | None = None) -> dict[str, Any]:
    """A Django database from a URL; SQLite or PostgreSQL."""
    right = "write sqlite:////absolute/path.sqlite3 or postgres://user:password@host:5432/database"
    url = text(name, default=default, right=right)
    scheme = _scheme(url)
    kind = "postgres" if scheme in {"postgres", "postgresql"} else scheme
    if kind not in _DATABASES:
        raise refusal(name, f"starts with {scheme or url[:12]!r}", right)
    config = dict(_env.db_url_config(url))
    if not config.get("NAME"):
        raise refusal(name, "names no database", right)
    return config | {"ENGINE": _DATABASES[kind]}


def url(name: str, *, default: str | None = None, schemes: Sequence[str]) -> str:
    right = f"write a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    value = text(name, default=default, right=right)
    if _scheme(value) not in schemes:
        raise refusal(name, f"starts with {_scheme(value) or value[:12]!r}", right)
    return value


def _scheme(value: str) -> str:
    return value.partition("://")[0] if "://" in value else ""
