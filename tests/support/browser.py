"""For tests and screenshots: a headless Chromium that looks at the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.common import eventually

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


@contextmanager
def chromium_browser(profile: Path) -> Iterator[Browser]:
    """A browser for the length of a with block; selenium has to be installed.

    Args:
        profile: an empty folder for its own files.
    """
    from selenium import webdriver  # noqa: PLC0415 - of the extra `browser`

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
