"""A real sshd on loopback, run as whoever runs the tests, with keys of its own: two hosts on one machine."""

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
ADDRESSES = ("127.0.0.1", "127.0.0.2")

CONFIG = """
{listen}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Hosts:
    """``key`` is the private key that both hosts let in; ``known_hosts`` the file of their host keys."""

    folder: Path
    port: int

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def named(self, *addresses: str) -> list[str]:
        return [f"{getpass.getuser()}@{address}:{self.port}" for address in addresses]


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Hosts]:
    """Both hosts, answering. Skips where there is no sshd."""
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("sshd (openssh-server) is not installed")
    port = _free_port()
    _write(folder, port)
    sshd = await asyncio.create_subprocess_exec(
        SSHD, "-D", "-e", "-f", folder / "config", stderr=(folder / "log").open("wb")
    )
    try:
        await _answers(port, folder / "log")
        yield Hosts(folder, port)
    finally:
        sshd.terminate()
        await sshd.wait()


def _write(folder: Path, port: int) -> None:
    """Keys and config."""
    folder.mkdir()
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd(8), "privilege separation"
    listen = "\n".join(f"ListenAddress {address}:{port}" for address in ADDRESSES)
    (folder / "config").write_text(CONFIG.format(listen=listen, folder=folder))
    public = (folder / "host_key.pub").read_text().rpartition(" ")[0]
    (folder / "known_hosts").write_text("".join(f"[{address}]:{port} {public}\n" for address in ADDRESSES))


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def _answers(port: int, log: Path) -> None:
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection(ADDRESSES[-1], port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    pytest.fail(f"sshd does not answer: {log.read_text()}")
