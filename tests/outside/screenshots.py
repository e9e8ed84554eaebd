"""Makes docs/pictures: the pages of the example site, and the status page of a busy one, light and dark, on a desktop and
on a phone (`make screenshots`)."""

from __future__ import annotations

import base64
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, ViewportSize

CHECKOUT = Path(__file__).parents[2]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests")]

from browsers import PHONE, open_browser  # noqa: E402
from commands import Shop, free_port  # noqa: E402

PICTURES = CHECKOUT / "docs" / "pictures"
URL = "http://wonders.example/"
PAGES = {"home": "", "feed": "long-reads/", "archive": "all/archive/", "search": "search?q=map"}
DESKTOP: ViewportSize = {"width": 1100, "height": 860}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MAX_BYTES = 60_000
TOPICS = ("Cities", "Energy", "Gardens", "Libraries", "Maps", "Repair", "Robotics", "Space")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        for shop, urls in (
            (copy_examples(Path(folder) / "examples", port), {name: f"{URL}{path}" for name, path in PAGES.items()}),
            # the status page is there only for requests to a URL of this machine
            (make_busy_site(Path(folder) / "busy", port), {"status": f"http://127.0.0.1:{port}/status"}),
        ):
            try:
                shop.start("run").wait_until_done()
                take_all(urls, port)
            finally:
                shop.close()


def copy_examples(root: Path, port: int) -> Shop:
    """The example site under another URL."""
    root.mkdir()
    shop = Shop(root)
    shutil.copytree(CHECKOUT / "examples" / "incoming", shop.incoming)
    shutil.copytree(CHECKOUT / "examples" / "images", shop.output / "images")
    for path in shop.incoming.rglob("*.md"):
        path.write_text(path.read_text().replace("http://127.0.0.1:8000/", URL))
    config = (CHECKOUT / "examples" / "aggregator.toml").read_text()
    for old, new in {
        "http://127.0.0.1:8000/": URL,
        "port = 8000": f"port = {port}",
        '"incoming"': '"../incoming"',
        "../build/examples/": "../",
    }.items():
        assert old in config
        config = config.replace(old, new)
    shop.config.parent.mkdir()
    shop.config.write_text(config)
    return shop


def make_busy_site(root: Path, port: int) -> Shop:
    """A site with some hundred stories of the last three months, of which one is rejected and two are scheduled."""
    root.mkdir()
    shop, now, choice = Shop(root), datetime.now(UTC).replace(microsecond=0), random.Random(1)
    shop.configure(
        site=f'id = "feeds.example.org"\ntitle = "Small Wonders"\nbase_url = "http://127.0.0.1:{port}/"',
        serve=f"port = {port}",
    )
    shop.write("news/bad-date.md", '---\ntitle: A story that comes soon\npublishedDateTime: "soon"\n---\n')
    dates = [now + timedelta(hours=hours) for hours in (4, 52)]
    dates += [
        now - timedelta(days=day, minutes=choice.randrange(1, 1400))
        for day in range(120)
        for _ in range(choice.randrange(1, 3 + (120 - day) // 8))
    ]
    for number, date in enumerate(dates):
        topics = choice.sample(TOPICS, choice.randrange(1, 3))
        shop.record(f"news/{number:03}.md", f"Story {number}", topics=topics, publishedDateTime=date.isoformat())
    return shop


def take_all(urls: Mapping[str, str], port: int) -> None:
    """Takes and writes the pictures of the pages."""
    with open_browser(
        f"--host-resolver-rules=MAP wonders.example 127.0.0.1:{port}",
        # copy buttons are there only on https and on this machine
        f"--unsafely-treat-insecure-origin-as-secure={URL.rstrip('/')}",
    ) as browser:
        for device, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
            for scheme in SCHEMES:
                context = browser.new_context(viewport=viewport, color_scheme=scheme)
                page = context.new_page()
                for name, url in urls.items():
                    page.goto(url, wait_until="networkidle")
                    write_picture(f"{name}-{device}-{scheme}.webp", take(page))
                context.close()


def write_picture(name: str, picture: bytes) -> None:
    assert len(picture) <= MAX_BYTES, f"{name} has {len(picture)} bytes"
    (PICTURES / name).write_bytes(picture)
    print(f"{len(picture):7} {name}")


def take(page: Page) -> bytes:
    """What the window shows. Playwright itself writes no WebP."""
    session = page.context.new_cdp_session(page)
    answer = session.send("Page.captureScreenshot", {"format": "webp", "quality": 75})
    return base64.b64decode(answer["data"])


if __name__ == "__main__":
    main()
