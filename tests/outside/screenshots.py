"""Makes docs/pictures: the pages of the example site, light and dark, on a desktop and on a phone (`make screenshots`)."""

from __future__ import annotations

import base64
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize

CHECKOUT = Path(__file__).parents[2]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests")]

from browsers import PHONE, open_browser  # noqa: E402
from commands import Shop  # noqa: E402

PICTURES = CHECKOUT / "docs" / "pictures"
URL = "http://wonders.example/"
PAGES = {"home": "", "feed": "long-reads/", "archive": "all/archive/"}
DESKTOP: ViewportSize = {"width": 1100, "height": 860}
MAX_BYTES = 60_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        shop = copy_examples(Path(folder), port)
        try:
            shop.start("run").wait_until_done()
            with open_browser(
                f"--host-resolver-rules=MAP wonders.example 127.0.0.1:{port}",
                # copy buttons are there only on https and on this machine
                f"--unsafely-treat-insecure-origin-as-secure={URL.rstrip('/')}",
            ) as browser:
                for name, picture in take_all(browser):
                    assert len(picture) <= MAX_BYTES, f"{name} has {len(picture)} bytes"
                    (PICTURES / name).write_bytes(picture)
                    print(f"{len(picture):7} {name}")
        finally:
            shop.close()


def copy_examples(root: Path, port: int) -> Shop:
    """The example site under another URL."""
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


def take_all(browser: Browser) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each picture."""
    for device, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport=viewport, color_scheme="dark" if scheme == "dark" else "light")
            page = context.new_page()
            for name, path in PAGES.items():
                page.goto(f"{URL}{path}", wait_until="networkidle")
                yield f"{name}-{device}-{scheme}.webp", take(page)
            context.close()


def take(page: Page) -> bytes:
    """What the window shows. Playwright itself writes no WebP."""
    session = page.context.new_cdp_session(page)
    answer = session.send("Page.captureScreenshot", {"format": "webp", "quality": 75})
    return base64.b64decode(answer["data"])


if __name__ == "__main__":
    main()
