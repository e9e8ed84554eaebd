"""`aggregator serve`: HTTP alone."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from socket import socket

import click

from aggregator.cli.options import config_option, load_config, quiet_option, verbose_option
from aggregator.cli.printing import print_line
from aggregator.cli.stores import stopped_by_signals
from aggregator.logs import start_logging
from aggregator.serve import bind_socket, make_server
from aggregator.service import raise_file_limit, serve_folder


@click.command
@config_option
@verbose_option
@quiet_option
def serve(config_path: Path | None, *, verbose: bool, quiet: bool) -> None:
    """Serve an output folder that another process writes, such as `aggregator build` by cron.

    Does not scan and does not open the store. Ends on Ctrl-C or SIGTERM. Logs go to stderr.
    """
    config = load_config(config_path)
    start_logging(config.site.timezone, log_level(verbose=verbose, quiet=quiet))
    raise_file_limit()
    stop = threading.Event()
    with bind_socket(config.serve.host, config.serve.port) as listener, stopped_by_signals(stop):
        print_line(f"Serving {url_of(listener)} (Ctrl-C ends it)")
        serve_folder(config, stop, lambda app: make_server(app, listener))


def log_level(*, verbose: bool, quiet: bool) -> int:
    """The level of --verbose and --quiet."""
    return logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO


def url_of(listener: socket) -> str:
    """The URL of a listening socket."""
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
