"""The GitHub App's credentials as set-up got them: in a file only its owner may read, or sealed in the database."""

import os
import tempfile
from pathlib import Path

import msgspec
from cryptography.fernet import InvalidToken, MultiFernet

FILE = "github-app.json"
#: What they are sealed for: see `ghapp.sealing`.
PURPOSE = "credentials"


class CredentialsError(Exception):
    """They are kept but cannot be used; a sentence for people that says what to do."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """``owner`` is the account that the App belongs to, ``page`` its page at GitHub, ``created_at`` ms."""

    app_id: int
    slug: str
    owner: str | None
    page: str
    api_url: str
    private_key: str
    webhook_secret: str | None
    client_id: str
    client_secret: str
    created_at: int

    def __repr__(self) -> str:
        return f"Credentials(app_id={self.app_id!r}, slug={self.slug!r})"


def read(path: Path) -> Credentials | None:
    """What the file holds, None where there is none. Raises CredentialsError."""
    try:
        text = path.read_bytes()
        exposed = path.stat().st_mode & 0o077
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CredentialsError(f"{path} cannot be read ({error.strerror}).") from error
    if exposed:
        raise CredentialsError(f"{path} can be read by others; run: chmod 600 {path}")
    return _decoded(text, str(path))


def write(path: Path, credentials: Credentials) -> bool:
    """Whole or not at all, on the disk when this returns; False where some are there, which stay. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(credentials)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    finally:
        Path(draft).unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


def sealed(credentials: Credentials, seal: MultiFernet) -> bytes:
    return seal.encrypt(msgspec.json.encode(credentials))


def opened(kept: bytes, seal: MultiFernet) -> Credentials:
    """Raises CredentialsError where no key of ``seal`` fits."""
    try:
        text = seal.decrypt(kept)
    except InvalidToken:
        raise CredentialsError(
            "The GitHub App's credentials in the database were sealed with another KEDGE_SECRET_KEY. Put the former "
            "key behind the new one (comma-separated), or set GITHUB_APP_ID, GITHUB_PRIVATE_KEY and "
            "GITHUB_WEBHOOK_SECRET."
        ) from None
    return _decoded(text, "The sealed credentials in the database")


def _decoded(text: bytes, where: str) -> Credentials:
    try:
        return msgspec.json.decode(text, type=Credentials)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = f"{where} cannot be understood; remove it and run kedge setup again."
    raise CredentialsError(problem)
