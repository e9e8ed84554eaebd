"""`aggregator run`: the service."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path

import click

import aggregator.parse.record
import aggregator.render.pages  # noqa: F401 - imported now, so that the first change does not wait for these two
from aggregator.cli.options import DEFAULT_CONFIG, config_option, load_config, quiet_option, verbose_option
from aggregator.cli.printing import print_line
from aggregator.cli.serve import log_start, start_service_log, url_of
from aggregator.cli.stores import writing_store
from aggregator.service.process import raise_file_limit
from aggregator.service.service import Service
from aggregator.service.serving import make_servers, open_listeners
from aggregator.site import port_warning, site_id_warning


@click.command
@config_option
@verbose_option
@quiet_option
def run(config_path: Path | None, *, verbose: bool, quiet: bool) -> None:
    """Run the service: scan on schedule and on changes, publish feeds, serve them over HTTP.

    A saved config takes effect at once; a config with errors is refused, and the log says why. SIGHUP reloads the
    config, too. Ends cleanly on Ctrl-C or SIGTERM. Logs go to stderr.
    """
    if not os.isatty(0) and hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the service installs its handler: it reads the config then
    config = load_config(config_path)
    start_service_log(config, verbose=verbose, quiet=quiet)
    raise_file_limit()
    stop = threading.Event()
    with open_listeners(config) as listeners, writing_store(config, stop) as (store, site_id):
        log_start(config, listeners, store.place)
        port = listeners.public.getsockname()[1]
        for warning in (site_id_warning(config, site_id), port_warning(config, port)):
            if warning:
                logging.getLogger(__name__).warning("%s", warning)
        service = Service(config, store, site_id, stop, config_path or DEFAULT_CONFIG)
        print_line(f"Serving {url_of(listeners.public)} (Ctrl-C ends it)")
        if not service.run(make_servers(service.app, listeners)):
            os._exit(0)  # a cycle hangs and cannot be ended; the store is consistent, as after a power loss
