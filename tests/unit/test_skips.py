"""A test that is skipped must state a reason."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


WITHOUT = (
    "@pytest.mark.skip\ndef test(): pass",
    "def test(): pytest.skip()",
    "def test(): pytest.skip(' ')",
    "@pytest.fixture\ndef thing(): pytest.skip()\ndef test(thing): pass",
    "pytest.skip(allow_module_level=True)",
)
WITH = (
    "@pytest.mark.skip(reason='too hot')\ndef test(): pass\ndef test_other(): pass",
    "def test(): pytest.skip('too hot')",
    "@pytest.mark.skipif(True, reason='too hot')\ndef test(): pass",
    "@pytest.mark.xfail\ndef test(): assert False",
)


def run_pytest(folder: Path, texts: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Runs files of tests with the plugin alone."""
    for number, text in enumerate(texts):
        (folder / f"test_{number}.py").write_text(f"import pytest\n{text}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder), "-p", "skips"]
    env = {**os.environ, "PYTHONPATH": str(TESTS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    command += ["--continue-on-collection-errors", "."]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_a_skip_without_a_reason_fails_the_run(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, WITHOUT)
    assert done.returncode != 0
    reasons = set(re.findall(r"test_(\d)\.py\S* is skipped without a reason", done.stdout))
    assert len(reasons) == len(WITHOUT), done.stdout


def test_a_skip_with_a_reason_does_not(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, WITH)
    assert done.returncode == 0, done.stdout
