"""A headless Chromium, one for all tests here; without one they are skipped, and say so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.browser import CHROMIUM, DRIVER, Browser, chromium_browser
from support.web import Shop


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip(
            "chromium and chromedriver are not on PATH: the page is not proven in a browser"
        )
    pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    with chromium_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A desktop in daylight; what went wrong in the browser fails the test."""
    chromium.shape(1280, 900)
    chromium.complaints()
    yield chromium
    chromium.driver.get("about:blank")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def keep(browser: Browser, name: str) -> None:
    """A picture, for who wants to look: set SCREENSHOTS to a folder."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        height = browser.run("return document.documentElement.scrollHeight")
        width = browser.run("return window.innerWidth")
        browser.shape(
            width,
            min(height, 4000),
            dark=browser.run("return matchMedia('(prefers-color-scheme: dark)').matches"),
        )
        browser.driver.save_screenshot(str(Path(folder) / f"{name}.png"))


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's script, where somebody put it (make build/axe.min.js)."""
    path = Path(os.environ.get("AXE", Path(__file__).parents[2] / "build" / "axe.min.js"))
    if not path.exists():
        pytest.skip("build/axe.min.js is not there (make build/axe.min.js): no accessibility check")
    return path.read_text(encoding="utf-8")
