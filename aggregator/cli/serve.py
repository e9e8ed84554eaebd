"""`aggregator serve`: HTTP alone."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from socket import socket

import click

from aggregator import __version__
from aggregator.cli.options import config_option, load_config, quiet_option, verbose_option
from aggregator.cli.printing import print_line, print_message
from aggregator.cli.stores import stopped_by_signals
from aggregator.config import Config
from aggregator.links import server_url
from aggregator.logs import start_logging
from aggregator.service.process import raise_file_limit
from aggregator.service.serving import Listeners, open_listeners, serve_folder
from aggregator.site import loopback_warning


@click.command
@config_option
@verbose_option
@quiet_option
def serve(config_path: Path | None, *, verbose: bool, quiet: bool) -> None:
    """Serve an output folder that another process writes, such as `aggregator build` by cron.

    Does not scan and does not open the store. Ends on Ctrl-C or SIGTERM. Logs go to stderr.
    """
    config = load_config(config_path)
    start_service_log(config, verbose=verbose, quiet=quiet)
    raise_file_limit()
    stop = threading.Event()
    with open_listeners(config) as listeners, stopped_by_signals(stop):
        log_start(config, listeners)
        if warning := loopback_warning(config):
            logging.getLogger(__name__).warning("%s", warning)
        print_line(f"Serving {url_of(listeners.public)} (Ctrl-C ends it)")
        serve_folder(config, listeners, stop)


def start_service_log(config: Config, *, verbose: bool, quiet: bool) -> None:
    """Logs as [log] of the config says; the options change the level."""
    level = "warning" if quiet else "debug" if verbose else config.log.level
    start_logging(config.site.timezone, logging.getLevelNamesMapping()[level.upper()], config.log.format)


def log_start(config: Config, listeners: Listeners, store: str | None = None) -> None:
    """Logs the version, and what this process reads, writes and serves, on a terminal with a line for each; `serve` has
    no store and no records."""
    facts = {"config": str(config.path.absolute()) if config.path else "none, so the defaults"}
    if store is not None:
        facts |= {"store": store, "records": ", ".join(source.root for source in config.sources)}
    facts |= {"output": str(config.output.path), "URL": config.site.base_url, "listens on": url_of(listeners.public)}
    if private := listeners.admin or (listeners.public if listeners.shows_private else None):
        facts |= {"status": f"{url_of(private)}status"} if store is not None else {}
        facts["metrics"] = f"{url_of(private)}metrics"
    else:
        facts["no metrics"] = "(set serve.admin_port)"
    log, is_text = logging.getLogger(__name__), config.log.format != "json"
    if is_text and sys.stderr.isatty() and log.isEnabledFor(logging.INFO):
        print_message(f"aggregator {__version__}")
        for name, fact in facts.items():
            print_message(f"  {name:10}  {fact}")
    else:
        log.info("aggregator %s starts: %s", __version__, "; ".join(f"{name} {fact}" for name, fact in facts.items()))


def url_of(listener: socket) -> str:
    """The URL of a listening socket."""
    return server_url(*listener.getsockname()[:2])
