"""Keys to billing APIs, sealed for the database. Whoever has the database alone cannot open them.

Fernet (AES-128-CBC and HMAC-SHA256) under a key derived by HKDF from PROVIDER_KEYS_SECRET, else from SECRET_KEY.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from costadvisor.common.refusal import Refusal

SHORTEST, LONGEST = 20, 400


class ProviderSecret:
    """A key in the clear. Printed, logged or on an error page it is its last four characters."""

    def __init__(self, value: str) -> None:
        """Raises Refusal for what cannot be a key; the refusal does not repeat it."""
        value = value.strip()
        if not SHORTEST <= len(value) <= LONGEST:
            raise Refusal(f"A key has {SHORTEST} to {LONGEST} characters; copy all of it.", field="secret")
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise Refusal("A key has letters, digits and signs only, and no spaces.", field="secret")
        self._value = value

    def reveal(self) -> str:
        return self._value

    @property
    def last_four(self) -> str:
        return self._value[-4:]

    def __repr__(self) -> str:
        return f"••••{self.last_four}"


def seal(secret: ProviderSecret) -> str:
    return _fernet().encrypt(secret.reveal().encode()).decode()


def unseal(sealed: str) -> ProviderSecret:
    """Raises Refusal where the installation's secret is another one than when it was sealed."""
    try:
        return ProviderSecret(_fernet().decrypt(sealed.encode()).decode())
    except InvalidToken:
        raise Refusal(
            "The key cannot be opened: PROVIDER_KEYS_SECRET (or SECRET_KEY) has changed. Set the key again."
        ) from None


def _fernet() -> Fernet:
    secret = settings.PROVIDER_KEYS_SECRET or settings.SECRET_KEY
    derived = HKDF(SHA256(), length=32, salt=None, info=b"costadvisor provider keys").derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
