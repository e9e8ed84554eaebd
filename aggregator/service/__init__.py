"""The service: cycles on a schedule, on changes of files, at due times and for a new config, beside HTTP. Triggers only
ask for a cycle; one worker runs them.

    APScheduler ─┐                                 ┌─> snapshot ─> HTTP
    FolderWatch ─┼─> request ─> worker: Pipeline ──┤
    due times   ─┤                 ^               └─> when the next entry is due
    the clock   ─┘     LiveConfig ─┘

`cycles` has the worker and what asks it, `live` the config file, `watch` the records folders, `health` what probes are
told, `serving` HTTP, `process` what ends it all when a thread dies.
"""

from aggregator.service.config_reload import LiveConfig
from aggregator.service.process import raise_file_limit
from aggregator.service.serving import make_app, serve_folder
from aggregator.service.worker import Service

__all__ = ["LiveConfig", "Service", "make_app", "raise_file_limit", "serve_folder"]
