"""nginx in a folder of its own, in the foreground and with one worker: for the benchmarks and for tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_CONFIG = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    include /etc/nginx/mime.types;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
}}
"""


def find_program(name: str) -> str | None:
    """The path of a program, also of one for administrators; None if it is not installed."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


def nginx_command(program: str, folder: Path, http: str) -> list[str]:
    """Writes the config of nginx into the folder, with `http` in its block for HTTP. Returns the command that starts
    `program`, which writes `nginx.pid` there."""
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, user=user, http=http), encoding="utf-8")
    return [program, "-c", str(config)]
