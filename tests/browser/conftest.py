"""A headless Chromium, one for all tests here; without one they are skipped, and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.common import eventually
from support.web import Shop

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """A window that is wide or narrow, in light or dark."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def shape(self, width: int, height: int, *, dark: bool = False) -> None:
        """Become another device."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})

    def open(self, url: str) -> None:
        """Go there; the page has shown its first data when this returns."""
        self.driver.get("about:blank")
        self.driver.get(url)
        self.until("return document.body.dataset.ready === 'yes'")

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, seconds: float = 30.0) -> None:
        """Wait until a script returns something true."""
        eventually(lambda: self.run(script), script, seconds=seconds)

    def press(self, selector: str) -> None:
        """Click on what is there, once it is."""
        self.until(f"return document.querySelector({selector!r})")
        self.run("document.querySelector(arguments[0]).click()", selector)

    def text(self, selector: str) -> str:
        """What a person reads there."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def complaints(self) -> list[str]:
        """What the browser logged as wrong: errors, blocked scripts, failed loads."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip(
            "chromium and chromedriver are not on PATH: the page is not proven in a browser"
        )
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


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
