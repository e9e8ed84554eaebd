"""`aggregator health`: whether a running service is well."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from aggregator.cli.options import DEFAULT_CONFIG, config_option, json_option, load_config
from aggregator.cli.printing import WRONG, print_data, print_line
from aggregator.config import Config, partial_config
from aggregator.config.values import sqlite_file
from aggregator.errors import AggregatorError, ConfigError, StoreError
from aggregator.links import server_url

if TYPE_CHECKING:
    from aggregator.store.service_requests import Service

TIMEOUT_S = 10.0
MAX_BYTES = 100_000
_OTHER = "the answer is not of this program"
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - asked, not listened on


@click.command
@click.argument("url", required=False)
@config_option
@json_option
def health(url: str | None, config_path: Path | None, *, as_json: bool) -> None:
    """Ask a running service whether it is well: its /healthz, in one line. For Docker, cron and monitoring.

    URL is where the service listens, such as http://127.0.0.1:8000/. By default it is what a service that
    runs on the store of the config says, else what the config says.

    Exits with 1 if the service is not well or does not answer.
    """
    probe = _probe_url(url or _own_url(config_path))
    data = _ask(probe)
    print_data(data, lambda shown: print_line(_line(shown)), as_json=as_json)
    if data["status"] != "ok":
        sys.exit(WRONG)


def _own_url(path: Path | None) -> str:
    """Where the service of this config listens: as a running one says in the store, else as the config says. A config
    that is refused counts as far as it can be read: the service may run with the last good one."""
    try:
        config: Config = load_config(path)
    except ConfigError:
        config = partial_config(path or DEFAULT_CONFIG, env=os.environ)
    _, service = _read_known(config)
    host, port = service.address if service and service.runs else (config.serve.host, config.serve.port)
    if not port:
        raise AggregatorError(
            "serve.port is 0, and no service runs on the store (start it, or name the URL: aggregator health URL)"
        )
    return _url_of(host, port)


def _url_of(host: str, port: int) -> str:
    return server_url(_EVERY_ADDRESS.get(host, host), port)


def service_failure(config: Config, timeout_s: float) -> str | None:
    """Why the service that runs on the store of this config is not well, as it says itself; None if it is well, does
    not answer, or none runs on this machine. A service that cannot write to the store has no lease, and counts too; so
    does one that follows over a shared store, where this config says that it listens. Of these only an answer with the
    key of the store counts, because another program may listen there."""
    key, service = _read_known(config)
    address = service and service.address
    if address is None and key is not None and not sqlite_file(config.store.url) and config.serve.port:
        address = config.serve.host, config.serve.port
    if address is None:
        return None
    facts = _ask(_probe_url(_url_of(*address)), timeout_s)
    stated = facts.get("store")
    is_its_own = stated == key if stated is not None else service is not None and service.runs
    return str(facts.get("reason")) if is_its_own and facts["status"] in ("failing", "late") else None


def _read_known(config: Config) -> tuple[str | None, Service | None]:
    """What the store of a config knows of its service: the key (`read_store_key`), and the one on this machine."""
    if not config.may_have_store:
        return None, None
    from aggregator.cli.stores import reading_store
    from aggregator.store.service_requests import read_service, read_store_key

    with suppress(StoreError), reading_store(config) as store:
        return read_store_key(store), read_service(store, str(config.path and config.path.absolute()))
    return None, None


def _probe_url(url: str) -> str:
    """The URL of /healthz of the service at a URL, which may have a path in front of it."""
    if "@" in url:  # not shown, because it may hold a password
        raise click.BadParameter("a URL with '@' is not asked (write it without a user)", param_hint="URL")
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an end, or a port that is no number
        is_usable = False
    if not is_usable or not url.isascii() or not url.isprintable() or " " in url:
        raise click.BadParameter(f"{url!r} is no http(s) URL", param_hint="URL")
    return url if url.endswith("/healthz") else f"{url.rstrip('/')}/healthz"


def _ask(url: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """What the service says of itself, with `url`; `status` is `unreachable` if it says nothing."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through the proxy of the environment
    try:
        try:
            with opener.open(url, timeout=timeout_s) as answer:
                body = answer.read(MAX_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                body = error.read(MAX_BYTES)
        facts = json.loads(body)
        if isinstance(facts, dict) and isinstance(facts.get("status"), str):
            return {"url": url, **facts}
        reason: object = _OTHER
    except OSError as error:
        reason = getattr(error, "reason", error)
        reason = getattr(reason, "strerror", None) or reason  # without its number
    except (HTTPException, ValueError):
        reason = _OTHER
    hint = "start the service, or name where it listens: aggregator health URL"
    return {"url": url, "status": "unreachable", "reason": f"no answer from {url}: {reason} ({hint})"}


def _line(data: dict[str, Any]) -> str:
    details = [data.get("reason"), *data.get("warnings", ())]
    if data.get("config") == "refused":
        details.append("the config is refused; the last good one stays active")
    if data.get("role") == "follower":
        details.append(f"follows {data.get('leader')}")
    if data["status"] == "ok" and data.get("last_success"):
        details.insert(0, f"last cycle {data['last_success']}")
    return ": ".join(filter(None, [data["status"], "; ".join(filter(None, details))]))
