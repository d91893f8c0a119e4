"""The recipes of docs/fabric.md, run by a real runner: a real `fab` against a real sshd."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner import procfs
from tests.integration.fabric.hosts import ADDRESSES, Hosts, serving
from tests.integration.fake_app import Deploy
from tests.integration.runner_world import World, until
from tests.integration.runner_world import world as make_world

ROOT = Path(__file__).parents[3]
FABRIC_1 = ROOT / ".venv" / "fabric1"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as made:
        yield made


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[Hosts]:
    async with serving(tmp_path / "hosts") as made:
        yield made


def recipe(name: str) -> str:
    """A fabfile as the documentation shows it."""
    text = (ROOT / "docs" / "fabric.md").read_text()
    block = text.partition(f"<!-- {name}:begin -->")[2].partition(f"<!-- {name}:end -->")[0]
    return block.partition("```python\n")[2].rpartition("```")[0]


def commit(world: World, files: dict[str, str]) -> None:
    for name, text in files.items():
        (world.repo / name).write_text(text)
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.com"]
    for step in (["add", "."], [*who, "commit", "-q", "-m", "fabric"]):
        subprocess.run(["git", *step], cwd=world.repo, check=True)
    shown = subprocess.run(["git", "rev-parse", "HEAD"], cwd=world.repo, check=True, capture_output=True, text=True)
    world.sha = shown.stdout.strip()


def fab(world: World, *, fabric_1: bool = False) -> None:
    """Put `fab` into the PATH of commands."""
    folder = world.folder / "bin"
    folder.mkdir()
    path = f"PYTHONPATH={FABRIC_1} " if fabric_1 else ""
    (folder / "fab").write_text(f'#!/bin/sh\n{path}exec {sys.executable} -m fabric "$@"\n')
    (folder / "fab").chmod(0o755)
    world.environ["PATH"] = f"{folder}:{world.environ['PATH']}"


def fabric_3(world: World, hosts: Hosts, *addresses: str, restart: str = "true") -> None:
    """A repository with the recipe for Fabric 3."""
    fab(world)
    config = {
        "hosts": {"staging": hosts.named(*addresses)},
        "root": str(world.folder / "srv"),
        "restart": restart,
        "connect_kwargs": {"key_filename": str(hosts.key), "allow_agent": False, "look_for_keys": False},
    }
    files = {"fabfile.py": recipe("fabfile"), "fabric.json": json.dumps(config), "version": "1"}
    commit(world, files | {"known_hosts": hosts.known_hosts.read_text()})


def served(world: World) -> str:
    return (world.folder / "srv" / "current" / "version").read_text()


async def deploy(world: World) -> Deploy:
    return await world.see_through(f"fab deploy --env staging --sha {world.sha}", environment="staging")


async def test_releases_are_made_and_the_link_is_switched(world: World, hosts: Hosts) -> None:
    fabric_3(world, hosts, *ADDRESSES)
    done = await deploy(world)
    assert done.state == "succeeded", done.output
    assert served(world) == "1" and (world.folder / "srv" / "releases" / world.sha).is_dir()
    assert [line.split("@")[1].split(":")[0] for line in done.output.splitlines() if "serves" in line] == [*ADDRESSES]


async def test_one_of_two_hosts_fails(world: World, hosts: Hosts) -> None:
    """The second is not there: the deploy fails, and its log says how far it came."""
    fabric_3(world, hosts, ADDRESSES[0], "127.0.0.3")
    done = await deploy(world)
    assert done.state == "failed" and served(world) == "1"
    assert f"{ADDRESSES[0]}:{hosts.port} serves" in done.output
    assert "127.0.0.3" in done.output and "Unable to connect" in done.output


async def test_a_host_with_another_key_gets_nothing(world: World, hosts: Hosts) -> None:
    fabric_3(world, hosts, ADDRESSES[0])
    other = hosts.known_hosts.read_text().replace(ADDRESSES[0], "127.0.0.9")
    commit(world, {"known_hosts": other})
    done = await deploy(world)
    assert done.state == "failed" and "not found in known_hosts" in done.output
    assert not (world.folder / "srv").exists()


async def test_a_cancel_ends_what_runs_on_the_host_too(world: World, hosts: Hosts) -> None:
    begun = world.folder / "begun"
    fabric_3(world, hosts, ADDRESSES[0], restart=f"echo $$ > {begun}.new; mv {begun}.new {begun}; exec sleep 600")
    cancelled = world.ask(f"fab deploy --env staging --sha {world.sha}", environment="staging")
    async with world.running():
        await until(begun.exists, "the restart on the host")
        pid = int(begun.read_text())
        cancelled.request_cancel()
        await world.ended(cancelled)
    assert cancelled.state == "cancelled"
    await until(lambda: procfs.read(pid) is None, "the end of what ran on the host")


async def test_the_form_of_fabric_1(world: World, hosts: Hosts) -> None:
    if not FABRIC_1.is_dir():
        pytest.skip("fab-classic is not installed: make .venv/.dev")
    fab(world, fabric_1=True)
    names = hosts.named(*ADDRESSES)
    places = f"roles = {{'staging': {names!r}}}\nroot = {str(world.folder / 'srv')!r}\n"
    key = f"from fabric.api import env\nenv.key_filename = {str(hosts.key)!r}\n"
    files = {"fabfile.py": recipe("fabfile1"), "fabhosts.py": recipe("fabhosts") + places + key, "version": "2"}
    commit(world, files | {"known_hosts": hosts.known_hosts.read_text()})
    done = await world.see_through(f"fab -R staging deploy:sha={world.sha}", environment="staging")
    assert done.state == "succeeded", done.output
    assert served(world) == "2"
    assert all(name in done.output for name in names)
