"""The Dockerfile, as hadolint judges it."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig

import pytest
from corpus import CHECKOUT


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    linter = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    if linter is None:
        pytest.skip("needs hadolint")
    command = [linter, "--no-fail", str(CHECKOUT / "deploy" / "docker" / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
