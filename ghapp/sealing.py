"""What is kept where others could read it, or goes out and comes back, is sealed with keys from KEDGE_SECRET_KEY."""

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def sealer(secret_keys: Sequence[str], purpose: str) -> MultiFernet:
    """Encrypts with the first key and opens what any of them sealed, which is how keys are rotated. What was sealed
    for one purpose opens for no other one.

    https://cryptography.io/en/latest/fernet/#cryptography.fernet.MultiFernet
    """
    return MultiFernet([Fernet(_derived(key, purpose)) for key in secret_keys])


def _derived(key: str, purpose: str) -> bytes:
    """RFC 5869; the key has at least 32 characters, so that no salt is needed (section 3.1)."""
    derived = HKDF(SHA256(), length=32, salt=None, info=f"kedge {purpose}".encode()).derive(key.encode())
    return base64.urlsafe_b64encode(derived)
