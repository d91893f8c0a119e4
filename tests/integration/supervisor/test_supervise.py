"""The supervisor, with real processes and real signals: how commands end, what they meet, what they say."""

import hashlib
import os
import re
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.supervisor.bench import PYTHON, Bench, deploy_id_of, ended, living, said, supervisor_of, until


@pytest.mark.parametrize("code", [0, 1, 127, 255])
async def test_the_exit_code_is_recorded(bench: Bench, code: int) -> None:
    result, output = await bench.run(f"echo hello; exit {code}")
    assert (result.ended_by, result.started, result.exit_code, result.signal) == ("exit", True, code, None)
    assert (result.log_end, output) == (6, "hello\n")
    assert (result.dropped_bytes, result.daemons, result.unkillable, result.reason) == (0, (), (), "")


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV"])
async def test_a_command_that_a_signal_killed_has_no_exit_code(bench: Bench, name: str) -> None:
    result, _ = await bench.run(f"kill -{name} $$")
    assert (result.ended_by, result.exit_code, result.signal) == ("exit", None, signal.Signals[f"SIG{name}"])


async def test_timeout(bench: Bench) -> None:
    entry = await bench.start("echo begin; while :; do echo more; sleep 0.05; done", timeout_s=1)
    result = await ended(entry)
    assert (result.ended_by, result.reason) == ("timeout", "It ran longer than its timeout of 1 s.")
    assert said(entry).startswith("begin\n")
    assert living(deploy_id_of(entry)) == []


async def test_silence(bench: Bench) -> None:
    entry = await bench.start("echo begin; sleep 600", silence_s=0.5)
    result = await ended(entry)
    assert (result.ended_by, result.reason) == ("silence", "It wrote nothing for 0.5 s.")
    assert result.signal == signal.SIGTERM
    assert living(deploy_id_of(entry)) == []


async def test_a_supervisor_told_to_end_takes_the_command_along(bench: Bench) -> None:
    entry = await bench.start_ready("touch ready; exec sleep 600")
    os.kill(supervisor_of(entry), signal.SIGTERM)
    result = await ended(entry)
    assert (result.ended_by, result.signal) == ("error", signal.SIGTERM)
    assert "SIGTERM" in result.reason
    assert living(deploy_id_of(entry)) == []


@pytest.mark.parametrize(
    ("argv", "settings", "says"),
    [
        (["/no/such/program"], {}, "/no/such/program"),
        (["true"], {"cwd": "/no/such/folder"}, "/no/such/folder"),
        (["true"], {"env": {"PATH": "/no/such/path"}}, "true"),
        (["/dev/null"], {}, "Permission denied"),
        (["true", "a\0b"], {}, "null byte"),
    ],
)
async def test_what_cannot_be_executed_says_why(
    bench: Bench, argv: list[str], settings: dict[str, Any], says: str
) -> None:
    result, _ = await bench.run(argv, **settings)
    assert (result.ended_by, result.started, result.exit_code) == ("error", False, None)
    assert result.reason.startswith("The command could not be started: ")
    assert says in result.reason


# What the command meets


async def test_the_command_has_its_own_environment_and_nothing_else(bench: Bench) -> None:
    entry = await bench.start(["/usr/bin/env"], env={"A": "ü", "PATH": "/usr/bin:/bin"})
    await ended(entry)
    assert set(said(entry).splitlines()) == {"A=ü", "PATH=/usr/bin:/bin", f"KEDGE_DEPLOY_ID={deploy_id_of(entry)}"}


async def test_the_command_runs_in_its_folder_with_nothing_to_read(bench: Bench) -> None:
    result, output = await bench.run("pwd; cat; ls /proc/self/fd | wc -l")
    assert result.exit_code == 0
    assert output == f"{bench.folder}\n4\n", "0, 1, 2 and the listed folder itself: no lock, no record, no pipe end"


async def test_signals_are_as_a_program_expects_them(bench: Bench) -> None:
    """A launcher may ignore or block some; Python itself ignores SIGPIPE. What libc keeps for itself (32 and 33,
    nptl(7)) no program can change or count on."""
    usable = sum(1 << (signum - 1) for signum in signal.valid_signals())
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})
    try:
        _, output = await bench.run(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGHUP, before)
    assert [int(line.split()[1], 16) & usable for line in output.splitlines()] == [0, 0]


async def test_the_supervisor_shows_no_secret(bench: Bench) -> None:
    entry = await bench.start_ready("touch ready; sleep 600", env={"PATH": "/usr/bin:/bin", "KEY": "hunter2-hunter2"})
    proc = Path(f"/proc/{supervisor_of(entry)}")
    assert b"hunter2" not in (proc / "cmdline").read_bytes()
    try:
        environ = (proc / "environ").read_bytes()
    except PermissionError:  # not dumpable: not even its own user may read it
        assert os.geteuid() != 0
    else:
        assert os.geteuid() == 0
        assert environ.strip(b"\0") in (b"", b"LC_CTYPE=C.UTF-8")


async def test_kill_0_reaches_the_command_only(bench: Bench) -> None:
    result, _ = await bench.run("kill 0; sleep 600")
    assert (result.ended_by, result.signal) == ("exit", signal.SIGTERM)


# Its output


async def test_both_streams_are_one_in_order(bench: Bench) -> None:
    _, output = await bench.run("echo 1; echo 2 >&2; echo 3; echo 4 >&2")
    assert output == "1\n2\n3\n4\n"


async def test_reopening_stderr_does_not_lose_the_log(bench: Bench) -> None:
    _, output = await bench.run("echo 1; echo 2 | tee /dev/stderr; echo 3 > /dev/stderr; echo 4 > /dev/stdout; echo 5")
    assert output == "1\n2\n2\n3\n4\n5\n"


async def test_much_output_arrives_intact(bench: Bench) -> None:
    code = "import os; [os.write(1, b'%07d\\n' % n * 128) for n in range(50_000)]"
    entry = await bench.start(f'{PYTHON} "{code}"')
    result = await ended(entry)
    expected = hashlib.sha256(b"".join(b"%07d\n" % n * 128 for n in range(50_000)))
    assert result.log_end == entry.output.stat().st_size == 50_000 * 1024
    assert hashlib.sha256(entry.output.read_bytes()).digest() == expected.digest()


async def test_a_full_disk_costs_output_and_nothing_else(bench: Bench) -> None:
    """RLIMIT_FSIZE, set on the supervisor alone, makes its writes fail as a full disk does."""
    entry = await bench.start(
        "echo begin; touch ready; until [ -e full ]; do sleep 0.02; done;"
        "head -c 3000000 /dev/zero; touch written; until [ -e room ]; do sleep 0.02; done; echo; echo end; exit 3"
    )
    await until((bench.folder / "ready").exists, "ready")
    supervisor = supervisor_of(entry)
    _, hard = resource.prlimit(supervisor, resource.RLIMIT_FSIZE)
    resource.prlimit(supervisor, resource.RLIMIT_FSIZE, (65536, hard))
    (bench.folder / "full").touch()
    await until((bench.folder / "written").exists, "the command is not held up")
    resource.prlimit(supervisor, resource.RLIMIT_FSIZE, (hard, hard))
    (bench.folder / "room").touch()
    result = await ended(entry)
    output = entry.output.read_bytes()
    marks = re.findall(rb"\n\[kedge: (\d+) bytes of output were lost here: no room\]\n", output)
    assert (result.ended_by, result.exit_code) == ("exit", 3)
    assert sum(map(int, marks)) == result.dropped_bytes > 0
    assert output.count(b"\0") + result.dropped_bytes == 3_000_000
    assert output.startswith(b"begin\n")
    assert output.endswith(b"\nend\n")
    assert result.log_end == len(output)
