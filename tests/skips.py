"""A pytest plugin: a test that is skipped without a stated reason fails."""

from __future__ import annotations

from collections.abc import Generator

import pytest

NO_REASON = ("", "unconditional skip")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_without_reason(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_without_reason(report)
    return report


def _fail_without_reason(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        assert isinstance(report.longrepr, tuple)
        if report.longrepr[2].removeprefix("Skipped").removeprefix(":").strip() in NO_REASON:
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid} is skipped without a reason"
