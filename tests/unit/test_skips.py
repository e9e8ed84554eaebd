"""A test that is skipped must state a reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def run_pytest(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Runs a file of tests with the plugin alone."""
    (folder / "test_it.py").write_text(f"import pytest\n{text}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder), "-p", "skips"]
    env = {**os.environ, "PYTHONPATH": str(TESTS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    return subprocess.run([*command, "test_it.py"], cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.skip\ndef test(): pass",
        "def test(): pytest.skip()",
        "def test(): pytest.skip(' ')",
        "@pytest.fixture\ndef thing(): pytest.skip()\ndef test(thing): pass",
        "pytest.skip(allow_module_level=True)",
    ],
)
def test_a_skip_without_a_reason_fails_the_run(tmp_path: Path, text: str) -> None:
    done = run_pytest(tmp_path, text)
    assert done.returncode != 0
    assert "skipped without a reason" in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.skip(reason='too hot')\ndef test(): pass\ndef test_other(): pass",
        "def test(): pytest.skip('too hot')",
        "@pytest.mark.skipif(True, reason='too hot')\ndef test(): pass",
        "@pytest.mark.xfail\ndef test(): assert False",
    ],
)
def test_a_skip_with_a_reason_does_not(tmp_path: Path, text: str) -> None:
    done = run_pytest(tmp_path, text)
    assert done.returncode == 0, done.stdout
