"""The suite's own rule: a skip is a visible line, and under KEDGE_TEST_ALL=1 a failure."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SKIPPED = {
    "test_inside.py": "import pytest\ndef test_it(): pytest.skip('no browser')\n",
    "test_module.py": "import pytest\npytest.skip('no compiler', allow_module_level=True)\n",
    "test_mark.py": "import pytest\n@pytest.mark.skipif(True, reason='no printer')\ndef test_it(): pass\n",
    "test_fixture.py": "import pytest\n"
    "@pytest.fixture(scope='session')\ndef server(): pytest.skip('no server')\n"
    "def test_one(server): pass\ndef test_two(server): pass\n",
}
NOT_SKIPPED = {"test_fails.py": "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_it(): assert 0\n"}


def run(folder: Path, files: dict[str, str], all_of_them: str) -> tuple[int, str]:
    for name, code in files.items():
        (folder / name).write_text(code)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", "."]
    env = os.environ | {"KEDGE_TEST_ALL": all_of_them, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [*command, "--continue-on-collection-errors"], cwd=folder, env=env, capture_output=True, text=True
    )
    return done.returncode, done.stdout


THINGS = ("browser", "compiler", "printer", "server")


def test_each_reason_to_skip_is_one_visible_line(tmp_path: Path) -> None:
    status, output = run(tmp_path, SKIPPED, "")
    assert status == 0
    assert [output.count(f"no {thing}") for thing in THINGS] == [1, 1, 1, 1]


def test_a_skip_is_a_failure_where_all_must_run(tmp_path: Path) -> None:
    status, output = run(tmp_path, SKIPPED, "1")
    assert status == 1
    assert output.count("KEDGE_TEST_ALL=1 allows no skipped test") >= 5
    assert all(f"no {thing}" in output for thing in THINGS)
    assert "passed" not in output


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    assert run(tmp_path, NOT_SKIPPED, "1")[0] == 0
