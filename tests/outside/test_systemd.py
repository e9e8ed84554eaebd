"""The unit and the files beside it, as systemd's own tools judge them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from corpus import CHECKOUT

SYSTEMD = CHECKOUT / "deploy" / "systemd"
UNIT = SYSTEMD / "aggregator.service"
MAX_EXPOSURE = 2.0


def run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_unit_is_valid(tmp_path: Path) -> None:
    program = tmp_path / "aggregator"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/aggregator/bin/aggregator", str(program)))
    assert run("systemd-analyze", "verify", "--man=no", str(unit)) == ""


def test_the_unit_is_hardened() -> None:
    report = run("systemd-analyze", "security", "--offline=true", str(UNIT))
    level = re.search(r"exposure level for aggregator.service: ([\d.]+) OK", report)
    assert level, report[-300:]
    assert float(level[1]) <= MAX_EXPOSURE


def test_the_user_and_the_folders_are_made_with_their_owners(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for kind in ("sysusers", "tmpfiles"):
        (tmp_path / f"etc/{kind}.d").mkdir(parents=True)
        shutil.copy(SYSTEMD / f"{kind}.conf", tmp_path / f"etc/{kind}.d/aggregator.conf")
    run("systemd-sysusers", f"--root={tmp_path}", "aggregator.conf")
    users = (tmp_path / "etc/passwd").read_text()
    groups = dict(re.findall(r"^(\w+):x:(\d+):", (tmp_path / "etc/group").read_text(), re.MULTILINE))
    number = int(re.findall(r"^aggregator:x:(\d+):", users, re.MULTILINE)[0])
    assert users.rstrip().endswith(":/var/lib/aggregator:/usr/sbin/nologin")
    run("systemd-tmpfiles", f"--root={tmp_path}", "--create", "aggregator.conf")
    found = {}
    for name in ("", "incoming", "data", "output"):
        status = (tmp_path / "var/lib/aggregator" / name).stat()
        found[name] = oct(stat.S_IMODE(status.st_mode)), status.st_uid, status.st_gid
    service, editors = (number, int(groups["aggregator"])), (0, int(groups["editors"]))
    assert found == {
        "": ("0o755", *service),
        "incoming": ("0o2775", *editors),
        "data": ("0o700", *service),
        "output": ("0o755", *service),
    }
