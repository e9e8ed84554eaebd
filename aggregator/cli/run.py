"""`aggregator run`: the service."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import click

import aggregator.parse.record
import aggregator.render.pages  # noqa: F401 - imported now, so that the first change does not wait for these two
from aggregator.cli.options import DEFAULT_CONFIG, config_option, load_config, quiet_option, verbose_option
from aggregator.cli.printing import print_line
from aggregator.cli.serve import log_start, start_service_log, url_of
from aggregator.cli.stores import service_store
from aggregator.service.process import flush_log, raise_file_limit
from aggregator.service.service import Service
from aggregator.service.serving import make_servers, open_listeners
from aggregator.site import loopback_warning, port_warning, site_id_warning

SERVING_WITHIN_S = 5.0
"""How long the line with the URL waits for the first cycle on a terminal."""
OPEN_WITHIN_S = 60.0
"""How long --open waits for the first documents."""


class Port(click.IntRange):
    """A port; 0 is a free one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a port (write a number from 0 to 65535)", param, ctx)


class Host(click.ParamType[str]):
    """A name or an address of this machine."""

    name = "TEXT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not str(value).strip() or not str(value).isprintable():
            self.fail(f"{value!r} is not a host (write an address such as 127.0.0.1)", param, ctx)
        return str(value)


@click.command
@config_option
@click.option("--host", type=Host(), help="Address to listen on, in place of serve.host.")
@click.option("--port", type=Port(0, 65535), help="Port to listen on, in place of serve.port.")
@click.option("--open", "opens", is_flag=True, help="Open the home page in a browser.")
@verbose_option
@quiet_option
def run(
    config_path: Path | None, *, host: str | None, port: int | None, opens: bool, verbose: bool, quiet: bool
) -> None:
    """Run the service: scan on schedule and on changes, publish feeds, serve them over HTTP.

    Over PostgreSQL a second service follows the first one: it serves and publishes what the first one stores, and takes
    over when that one ends. Over SQLite it is refused after 30 s.

    A saved config takes effect at once; a config with errors is refused, and the log says why. SIGHUP reloads the
    config, too. Ends cleanly on Ctrl-C or SIGTERM. Logs go to stderr.
    """
    if not os.isatty(0):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the service installs its handler: it reads the config then
    for key, value in (("HOST", host), ("PORT", port)):
        if value is not None:
            os.environ[f"AGGREGATOR_SERVE__{key}"] = str(value)  # also when the config is read again
    config = load_config(config_path)
    start_service_log(config, verbose=verbose, quiet=quiet)
    raise_file_limit()
    stop = threading.Event()
    with open_listeners(config, "serve.port or --port") as listeners, service_store(config, stop) as (store, site_id):
        log_start(config, listeners, store.place)
        listens_on = listeners.public.getsockname()[1]
        id_warning = None if site_id is None else site_id_warning(config, site_id)
        # the base_url of a follower names the service that leads, or what is in front of both
        is_follower = store.is_shared and not store.lease.is_held
        address_warning = loopback_warning(config) or (None if is_follower else port_warning(config, listens_on))
        for warning in (id_warning, address_warning):
            if warning:
                logging.getLogger(__name__).warning("%s", warning)
        service = Service(config, store, site_id, stop, config_path or DEFAULT_CONFIG)
        _say_serving(service, url_of(listeners.public), stop)
        if opens:
            threading.Thread(target=_open, args=(service, url_of(listeners.public), stop), daemon=True).start()
        if not service.run(make_servers(service.app, listeners)):
            os._exit(0)  # a cycle hangs and cannot be ended; the store is consistent, as after a power loss


def _say_serving(service: Service, url: str, stop: threading.Event) -> None:
    """Prints where people can look; on a terminal below what the first cycle has to say."""
    line = f"Serving {url} (Ctrl-C ends it)"

    def say_below() -> None:
        service.first_cycle.wait(SERVING_WITHIN_S)
        if not stop.is_set():
            flush_log()
            print_line(line)

    if sys.stdout.isatty():
        threading.Thread(target=say_below, daemon=True).start()
    else:
        print_line(line)


def _open(service: Service, url: str, stop: threading.Event) -> None:
    ends_at = time.monotonic() + OPEN_WITHIN_S
    while not service.app.state.snapshot.files and time.monotonic() < ends_at and not stop.wait(0.1):
        pass
    click.launch(url)
