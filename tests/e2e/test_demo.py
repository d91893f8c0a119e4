"""`kedge demo`: what a newcomer starts first. It ends by itself or by Ctrl-C, and leaves nothing behind."""

import os
import re
import signal
import subprocess
from pathlib import Path

import aiohttp
import pytest

from ghapp.sandbox.children import Child
from tests.e2e import processes
from tests.e2e.people import until


def _demo(folder: Path, *arguments: str) -> Child:
    """The demo as a process whose temporary files are below the folder."""
    return Child("demo", "ghapp", ["demo", *arguments], {"TMPDIR": str(folder)}, folder / "demo.log")


def _nothing_runs(folder: Path) -> bool:
    return not processes.naming(folder) and not processes.marked(f"TMPDIR={folder}")


async def test_once_ends_with_success_and_leaves_no_process(tmp_path: Path) -> None:
    demo = _demo(tmp_path, "--once")
    await demo.start()
    assert await demo.wait() == 0, demo.log.read_text()
    assert _nothing_runs(tmp_path)
    said = demo.log.read_text()
    steps = ["Everything is written to", "created", "queued", "claimed", "running", "  | ", "succeeded", "GitHub shows"]
    places = [said.index(step) for step in steps]
    assert places == sorted(places), said
    assert "in_progress → success" in said
    [folder] = re.findall(r"Everything is written to (\S+)", said)
    assert Path(folder).is_relative_to(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"demo.log", Path(folder).name}


async def test_once_without_a_host(tmp_path: Path) -> None:
    demo = _demo(tmp_path, "--once", "--via", "git")
    await demo.start()
    assert await demo.wait() == 0, demo.log.read_text()
    assert _nothing_runs(tmp_path)
    said = demo.log.read_text()
    steps = ["git repository", "is asked for", "queued", "claimed", "running", "  | ", "Kedge shows     succeeded"]
    places = [said.index(step) for step in steps]
    assert places == sorted(places), said


async def test_what_it_offers_to_try_without_a_host(tmp_path: Path) -> None:
    """Each by copy and paste into a shell."""
    demo = _demo(tmp_path, "--via", "git")
    await demo.start()
    try:
        await until(lambda: "Three things to try" in demo.log.read_text(), demo.log.read_text, within_s=90)
        pushed, red, pending = re.findall(r"^\d\. .*\n((?:   .*\n)+)", demo.log.read_text(), re.MULTILINE)
        run_shell(pushed, tmp_path)
        await until(lambda: "to staging" in demo.log.read_text(), demo.log.read_text, within_s=60)
        assert "checks_failed" in run_shell(red, tmp_path)
        assert "Waiting for check ci." in run_shell("\n".join(pending.splitlines()[:2]), tmp_path)
        run_shell(pending.splitlines()[2], tmp_path)
        number = "hello#3"
        await until(lambda: re.search(rf"{number} .*succeeded", demo.log.read_text()), demo.log.read_text, within_s=90)
    finally:
        await demo.stop(patience_s=20)


def run_shell(commands: str, folder: Path) -> str:
    done = subprocess.run(["sh", "-ec", commands], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("number", "via"), [(signal.SIGINT, "github"), (signal.SIGTERM, "github"), (signal.SIGTERM, "git")]
)
async def test_an_interrupt_ends_everything(tmp_path: Path, number: int, via: str) -> None:
    demo = _demo(tmp_path, "--via", via)
    await demo.start()
    try:
        await until(lambda: "Three things to try" in demo.log.read_text(), demo.log.read_text, within_s=90)
        said = demo.log.read_text()
        [page] = re.findall(r"Kedge +(http://\S+)", said)
        async with aiohttp.ClientSession() as session, session.get(page) as response:
            assert response.status == 200
        [folder] = re.findall(r"Everything is written to (\S+)", said)
        assert Path(folder).is_dir() and demo.pid
        os.kill(demo.pid, number)
        assert await demo.wait() == 0
        assert _nothing_runs(tmp_path)
        assert not Path(folder).exists()
        assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]
    finally:
        await demo.stop(patience_s=20)


async def test_an_interrupt_in_mid_deploy_ends_everything(tmp_path: Path) -> None:
    demo = _demo(tmp_path)
    await demo.start()
    try:
        await until(lambda: "hello#1" in demo.log.read_text(), demo.log.read_text, within_s=90)
        assert demo.pid
        os.kill(demo.pid, signal.SIGINT)
        assert await demo.wait() == 0
        assert _nothing_runs(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]
    finally:
        await demo.stop(patience_s=20)
