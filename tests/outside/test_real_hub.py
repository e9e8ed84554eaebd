"""A real hub between the service and its subscribers: each change reaches each subscriber once."""

from __future__ import annotations

import re
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Shop, eventually, free_port
from http_servers import LoopbackServer, QuietHandler

flask_websub = pytest.importorskip("flask_websub.hub", reason="Flask-WebSub is not installed (make test-all)")
CHANGES = 12


class Subscriber(LoopbackServer):
    """A callback URL that confirms its subscription and keeps what the hub delivers."""

    def __init__(self) -> None:
        self.delivered: list[bytes] = []
        self.is_subscribed = False
        subscriber = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:  # noqa: N802 - a name of the library
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(query["hub.challenge"][0].encode())
                subscriber.is_subscribed = True

            def do_POST(self) -> None:  # noqa: N802 - a name of the library
                subscriber.delivered.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

        super().__init__(Handler)

    def subscribe(self, hub: str, topic: str) -> None:
        form = {"hub.mode": "subscribe", "hub.topic": topic, "hub.callback": f"{self.url}/callback"}
        urllib.request.urlopen(hub, urllib.parse.urlencode(form).encode(), timeout=10).close()
        eventually(lambda: self.is_subscribed)

    def titles(self) -> list[str]:
        """The newest title of each delivery."""
        return [re.findall(r"<title>([^<]*)", body.decode())[1] for body in self.delivered]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """The URL of Flask-WebSub's hub, whose tasks run at once."""
    from celery import Celery
    from flask import Flask
    from werkzeug.serving import make_server

    app = Flask(__name__)
    app.config["PUBLISH_SUPPORTED"] = True
    celery = Celery(__name__)
    celery.conf.update(task_always_eager=True, task_eager_propagates=True)
    made = flask_websub.Hub(flask_websub.SQLite3HubStorage(str(tmp_path / "hub.sqlite3")), celery, **app.config)
    app.register_blueprint(made.build_blueprint(url_prefix="/hub"))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hub"
    server.shutdown()


@pytest.fixture
def subscribers() -> Iterator[list[Subscriber]]:
    with Subscriber() as first, Subscriber() as second:
        yield [first, second]


@pytest.mark.filterwarnings("ignore")  # of the hub's libraries
def test_every_change_reaches_every_subscriber_of_a_real_hub_once(
    shop: Shop, hub: str, subscribers: list[Subscriber]
) -> None:
    port = free_port()
    shop.configure(
        site=f'id = "x"\nbase_url = "http://127.0.0.1:{port}/"',
        serve=f"port = {port}",
        websub=f'hub = "{hub}"',
    )
    shop.record("first.md", "First")
    service = shop.start("run").wait_until_done()
    for subscriber in subscribers:
        subscriber.subscribe(hub, f"{service.url}all/atom.xml")
    for number in range(CHANGES):
        shop.record(f"{number:02}.md", f"Story {number}")
        eventually(lambda: all(len(subscriber.delivered) > number for subscriber in subscribers))  # noqa: B023
    expected = [f"Story {number}" for number in range(CHANGES)]
    assert [subscriber.titles() for subscriber in subscribers] == [expected, expected]
