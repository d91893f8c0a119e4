"""The systemd units: what they start exists, and a stopped runner leaves its commands alone."""

import importlib.util
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "manifests" / "systemd"


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name)
    return parser


def test_commands_outlive_the_runner() -> None:
    service = unit("kedge-runner.service")["Service"]
    assert service["KillMode"] == "process" and service["Restart"] == "always"
    assert service["OOMPolicy"] == "continue"
    assert "PrivateTmp" not in service
    module = service["ExecStart"].rpartition(" -m ")[2]
    assert importlib.util.find_spec(f"{module}.__main__")


def test_who_leaves_at_once_signals_no_command() -> None:
    """All processes of the unit are signalled otherwise: systemctl(1), --kill-whom."""
    told = [line for line in (UNITS / "kedge-runner.service").read_text().splitlines() if "systemctl kill" in line]
    assert told and all("--kill-whom=main" in line for line in told)


def test_commands_may_use_sudo() -> None:
    """With User= these imply NoNewPrivileges: systemd.exec(5)."""
    assert not {
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "NoNewPrivileges",
        "PrivateDevices",
        "ProtectClock",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "RestrictAddressFamilies",
        "RestrictNamespaces",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "SystemCallArchitectures",
        "SystemCallFilter",
    } & set(unit("kedge-runner.service")["Service"])


def test_the_app_reaches_its_own_folder_only() -> None:
    service = unit("kedge.service")["Service"]
    assert service["ExecStart"].endswith(".venv/bin/kedge serve")
    assert service["ProtectSystem"] == "strict" and service["NoNewPrivileges"] == "yes"
    assert service["Environment"] == f"KEDGE_DATA=/var/lib/{service['StateDirectory']}"


@pytest.mark.parametrize("path", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_systemd_understands_them(path: Path, tmp_path: Path) -> None:
    """The programs they start are stand-ins."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / path.name
    text = path.read_text().replace("/opt/kedge/.venv/bin/kedge", "/bin/true")
    copy.write_text(text.replace("/opt/kedge/.venv/bin/python", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    assert "Unknown" not in done.stderr and "Invalid" not in done.stderr, done.stderr
