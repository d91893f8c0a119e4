"""What a browser keeps for Kedge and may neither read nor change: values, encrypted and dated."""

import base64
import hashlib
from functools import lru_cache
from typing import TypeVar

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ghapp.config import Settings

T = TypeVar("T")


def seal(settings: Settings, purpose: str, value: object) -> str:
    """As text that may stand in a cookie or a form. What is sealed for one purpose opens for no other."""
    return (
        _keys(settings.secret_keys, settings.admin_token, purpose)
        .encrypt(msgspec.json.encode(value))
        .decode()
        .rstrip("=")
    )


def unseal(settings: Settings, purpose: str, text: str, kind: type[T], *, within_s: int) -> T | None:
    """The value; None for what was not sealed with these keys, or before ``within_s`` seconds."""
    padded = text.encode(errors="replace") + b"=" * (-len(text) % 4)
    try:
        data = _keys(settings.secret_keys, settings.admin_token, purpose).decrypt(padded, ttl=within_s)
        return msgspec.json.decode(data, type=kind)
    except (InvalidToken, msgspec.DecodeError):
        return None


@lru_cache(16)
def _keys(secret_keys: tuple[str, ...], admin_token: str, purpose: str) -> MultiFernet:
    """The first secret key seals, all open: https://cryptography.io/en/latest/fernet/#cryptography.fernet.MultiFernet

    Another admin token ends all that came from the old one.
    """
    of_token = hashlib.sha256(admin_token.encode(errors="surrogateescape")).digest()
    info = f"kedge {purpose}".encode() + of_token
    derived = [HKDF(SHA256(), 32, salt=None, info=info).derive(key.encode()) for key in secret_keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])
