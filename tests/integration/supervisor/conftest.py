"""The bench, cleaned up."""

import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from runner import processes, procfs
from runner.journal import Journal
from tests.integration.supervisor.bench import Bench, deploy_id_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    folder = tmp_path / "checkout"
    folder.mkdir()
    bench = Bench(folder, Journal(tmp_path / "work"))
    yield bench
    for entry in bench.begun:
        if processes.alive(entry) and (started := entry.read_started()):
            procfs.send(started.pid, started.start_ticks, signal.SIGKILL)
        assert await processes.sweep(deploy_id_of(entry), entry.read_started()) == ()


@pytest.fixture
def patched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have supervisors run some lines of Python first."""

    def patch(lines: str) -> None:
        script = tmp_path / "patched.py"
        script.write_text(
            f"import sys\nsys.path.append({str(ROOT)!r})\nimport runner.supervise\n{lines}\nrunner.supervise.main()\n"
        )
        monkeypatch.setattr(processes, "SUPERVISOR", script)

    return patch
