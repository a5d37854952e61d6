"""Take the docs' screenshots of the page anew: `make screenshots`.

A real agent on a real Flux instance of four brokers, each with a hostname of its own, gets jobs
from the embedded scheduler; Chromium looks at the page. As root, with Flux, Chromium and its driver
on PATH. The pictures are WebP files in docs/pictures.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.browser import CHROMIUM, DRIVER, Browser, chromium_browser
from support.common import eventually
from support.flux import cannot_differ, different_nodes
from support.program import Program
from support.servers import running_scheduler

PICTURES = Path(__file__).parent / "pictures"
NODES = 4
QUALITY = 70  # of 100

_ONE = "resources: {one: {type: core, count: 1}}"
#: What is sent, in this order; each is a jobspec with one core a task.
_DIAMOND = f"""\
version: 1
name: NAME
{_ONE}
tasks:
- {{name: fetch, command: [sh, -c, "echo fetching the mesh; sleep 1"], resources: one}}
- {{name: compile, command: [sh, -c, "echo compiling; sleep 2"], resources: one}}
- {{name: simulate, depends_on: [fetch, compile], command: [sh, -c, SIMULATE], resources: one}}
- {{name: plot, depends_on: [simulate], command: [echo, drawn], resources: one}}
"""
_SLEEP = f"version: 1\nname: NAME\n{_ONE}\ntasks:\n- {{command: [sleep, '600'], resources: one}}\n"
JOBS = (
    _DIAMOND.replace("NAME", "ocean").replace("SIMULATE", '"echo step 1 of 1; sleep 1"'),
    _DIAMOND.replace("NAME", "climate").replace(
        "SIMULATE", '"echo reading restart.nc; echo restart.nc: no such file >&2; exit 3"'
    ),
    _SLEEP.replace("NAME", "training"),
    _SLEEP.replace("NAME", "folding"),
)
#: What becomes of them.
STATES = ["completed", "failed", "running", "running"]


def states(program: Program) -> list[str]:
    """What the jobs are now, in the order in which they came."""
    return [job["state"] for job in program.show("jobs")]


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A cluster with these jobs; the page's address."""
    (folder / "trees").mkdir()
    for rank in range(NODES):
        (folder / "trees" / str(rank)).mkdir()
    (folder / "own").mkdir()
    with ExitStack() as stack:
        scheduler = stack.enter_context(running_scheduler("embedded", folder))
        flux = stack.enter_context(different_nodes(folder / "trees", folder / "own"))
        program = Program(
            folder,
            environ=flux.environ,
            host=scheduler.host,
            secret=scheduler.secret,
            cluster="blue",
            workload="flux",
            http="127.0.0.1:0",
        )
        agent = stack.enter_context(program.background("start"))
        eventually(lambda: program.run("status", "--check").code == 0, "it is registered")
        for number, jobspec in enumerate(JOBS):
            path = folder / f"{number}.yaml"
            path.write_text(jobspec, encoding="utf-8")
            done = program.run("submit", str(path))
            if done.code:
                raise SystemExit(done.err)
        eventually(lambda: states(program) == STATES, "each job is where it will stay")
        yield str(program.show("status")["http"])
        agent.stop()


def take(browser: Browser, name: str, width: int, *, dark: bool = False) -> None:
    """A picture of all that the browser shows."""
    browser.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    browser.shape(width, 400, dark=dark)
    height = browser.run("return Math.ceil(document.body.getBoundingClientRect().bottom)")
    browser.shape(width, min(height, 1300) + 8, dark=dark)
    shot = {"format": "webp", "quality": QUALITY}
    answer = browser.driver.execute_cdp_cmd("Page.captureScreenshot", shot)
    (PICTURES / f"{name}.webp").write_bytes(base64.b64decode(answer["data"]))


def main() -> None:
    """Take all of them."""
    if problem := cannot_differ() or ("" if CHROMIUM and DRIVER else "chromium is not on PATH"):
        raise SystemExit(f"error: {problem}")
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(Path(folder)) as url,
        tempfile.TemporaryDirectory() as profile,
        chromium_browser(Path(profile)) as browser,
    ):
        browser.shape(1200, 1000)
        browser.open(url)
        browser.until("return document.querySelectorAll('#jobs tr').length > 3")
        take(browser, "page", 1200)
        take(browser, "page-phone", 400, dark=True)
        browser.shape(1200, 1000)
        browser.run("[...document.querySelectorAll('#jobs a')].at(-2).click()")
        browser.until("return document.querySelector('#tasks tr')")
        take(browser, "job", 1200)


if __name__ == "__main__":
    main()
