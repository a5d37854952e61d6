"""The page in a real browser: it shows what is true, to everybody, and runs nothing of a job's."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from browser.conftest import Browser
from rainbow_agent.core.model import TaskChange, TaskKey
from rainbow_agent.core.states import TaskState
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.storage.ledger import SqliteLedger
from support.web import Shop

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"
#: Each state's colour on its ground, in light and in dark: enough for WCAG 2 AA (4.5 to 1).
DEVICES = [(1280, 900, False), (1280, 900, True), (390, 844, False), (390, 844, True)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def keep(browser: Browser, name: str) -> None:
    """A picture, for who wants to look: set RAINBOW_AGENT_SCREENSHOTS to a folder."""
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


@pytest.mark.parametrize("jobs", [0, 10, 5000])
def test_it_shows_so_many_jobs(browser: Browser, shop: Shop, jobs: int) -> None:
    """The newest first, 50 at a time, the rest on demand; and says how many there are."""
    shop.fill(jobs)
    with shop.serving() as url:
        browser.open(url)
        rows = "return document.querySelectorAll('#jobs tr').length"
        assert browser.run(rows) == min(jobs, 50)
        assert browser.text("h1").startswith("blue")
        assert "of 192 cores in use, 32 out" in browser.text("#resources")
        if not jobs:
            assert browser.text("#jobs-total") == "No jobs yet: they come from rainbow."
            assert "idle" in browser.text("#state")
        else:
            assert browser.text("#jobs-total").startswith(f"{jobs:,} jobs, ")
            assert browser.run("return document.querySelector('#jobs td').innerText") == str(jobs)
        if jobs > 50:
            browser.run("document.getElementById('older').click()")
            browser.until("return document.querySelectorAll('#jobs tr').length === 100")
            assert browser.run(
                "return [...document.querySelectorAll('#jobs tr')].at(-1).cells[0].innerText"
            ) == str(jobs - 99)
        else:
            assert browser.run("return document.getElementById('older').hidden")
        keep(browser, f"jobs-{jobs}")
        assert browser.complaints() == []


def test_jobs_are_filtered_by_state_and_by_name(browser: Browser, shop: Shop) -> None:
    """And the total says how many match."""
    shop.fill(40)
    with shop.serving() as url:
        browser.open(url)
        browser.run(
            "const s = document.getElementById('filter-state'); s.value = 'failed';"
            "s.dispatchEvent(new Event('input', {bubbles: true}))"
        )
        browser.until(
            "return document.getElementById('jobs-total').innerText.startsWith('10 jobs match')"
        )
        states = browser.run(
            "return [...document.querySelectorAll('#jobs .state')].map(e => e.innerText)"
        )
        assert {state.split()[-1] for state in states} == {"failed"}
        browser.run(
            "const t = document.getElementById('filter-text'); t.value = 'JOB-1';"
            "t.dispatchEvent(new Event('input', {bubbles: true}))"
        )
        browser.until(
            "return document.getElementById('jobs-total').innerText.startsWith('3 jobs match')"
        )


def test_a_job_is_a_graph_a_time_line_a_table_and_a_story(browser: Browser, shop: Shop) -> None:
    """Reached by its link, by keyboard as well; its heading gets the focus."""
    shop.fill(12)
    with shop.serving() as url:
        browser.open(url)
        browser.run("document.querySelector('[data-key=\"r1/9\"]').focus()")
        browser.driver.switch_to.active_element.send_keys("\n")
        browser.until("return document.querySelectorAll('#graph g.failed').length === 1")
        assert browser.run("return document.activeElement.id") == "job-title"
        assert browser.text("#job-title").startswith("Job 9: job-9")
        assert browser.text("#job-reason") == "exit code 3"
        places = {
            name: (x, y)
            for name, x, y in browser.run(
                "return [...document.querySelectorAll('#graph g[transform]')].map(g => {"
                "const m = g.transform.baseVal[0].matrix;"
                "return [g.querySelector('text').textContent, m.e, m.f]})"
            )
        }
        assert set(places) == {"fetch", "build", "mesh", "solve ×16", "plot", "archive"}
        columns = [places[name][0] for name in ("fetch", "build", "solve ×16", "plot")]
        assert columns == sorted(set(columns))
        assert places["build"][0] == places["mesh"][0]
        assert len(set(places.values())) == 6
        assert browser.run("return document.querySelectorAll('#graph path.edge').length") == 6
        assert browser.run("return document.querySelectorAll('#time rect.run').length") == 4
        assert browser.run("return document.querySelectorAll('#tasks tr').length") == 6
        assert "cause: task solve[4]: exit code 3" in browser.text("#story")
        label = browser.run(
            "return document.querySelector('#graph svg').getAttribute('aria-label')"
        )
        assert "solve is failed, after build and mesh" in label
        keep(browser, "job")
        browser.driver.back()
        browser.until(
            "return !document.getElementById('overview').hidden && "
            "document.querySelector('#jobs tr')"
        )
        assert browser.complaints() == []


def test_what_happens_is_shown_without_reloading(browser: Browser, shop: Shop) -> None:
    """A job that comes, a task that ends, something that goes wrong and is over."""
    shop.fill(2)
    with shop.serving() as url:
        browser.open(url)
        shop.fill(1, "a-new-one")
        shop.conditions.set(ConditionName.RAINBOW_UNREACHABLE, "rainbow does not answer")
        browser.until("return document.querySelector('#jobs a').innerText === 'a-new-one'")
        browser.until(
            "return document.getElementById('reasons').innerText.includes('does not answer')"
        )
        assert "degraded" in browser.text("#state")
        assert browser.run("return document.title") == "blue: degraded"
        shop.conditions.clear(ConditionName.RAINBOW_UNREACHABLE)
        browser.until("return document.getElementById('reasons').children.length === 0")
        browser.open(f"{url}#job/r1/2")
        assert browser.run("return document.querySelectorAll('#graph g.running').length") == 1
        with closing(SqliteLedger.open(shop.path)) as ledger:
            (key,) = ledger.find_jobs(2)
            now = shop.clock.now()
            ledger.apply(
                [
                    TaskChange(
                        TaskKey(key, "solve", n), TaskState.COMPLETED, now, "ended", finished=now
                    )
                    for n in range(16)
                ]
            )
        browser.until("return document.querySelectorAll('#graph g.running').length === 0")


def test_an_agent_that_is_gone_is_not_shown_as_well(browser: Browser, shop: Shop) -> None:
    """The page says since when there is no answer, and recovers by itself."""
    shop.fill(1)
    with shop.serving() as url:
        browser.open(url)
    browser.until("return !document.getElementById('away').hidden")
    assert "has not answered since" in browser.text("#away")


def test_nothing_that_a_job_says_of_itself_is_run(browser: Browser, shop: Shop) -> None:
    """Names and reasons are text, wherever they stand; writing is not turned around."""
    shop.fill(1, EVIL + " \u202eevil")
    shop.conditions.set(ConditionName.RAINBOW_REFUSES, f"odd {EVIL}")
    with shop.serving() as url:
        browser.open(url)
        assert EVIL[:20] in browser.text("#jobs a")
        assert "\u202e" not in browser.run("return document.body.innerText")
        assert "<img" in browser.text("#reasons")
        browser.open(f"{url}#job/r1/1")
        assert "<img" in browser.text("#job-title")
        assert browser.run("return document.querySelectorAll('img, body script').length") == 1
        assert browser.run("return document.title") == "blue: degraded"
        # Even a script that got into the page is stopped: the policy knows the page's own only.
        browser.run(
            "const s = document.createElement('script'); s.textContent = "
            "\"document.title = 'pwned'\"; document.body.append(s)"
        )
        assert browser.run("return document.title") == "blue: degraded"
        assert any("Content Security Policy" in text for text in browser.complaints())


def test_a_job_that_is_not_there_is_said(browser: Browser, shop: Shop) -> None:
    """An old link, or a typing mistake."""
    with shop.serving() as url:
        browser.driver.get(f"{url}#job/r1/77")
        browser.until("return document.getElementById('away').innerText.includes('no job r1/77')")


@pytest.mark.parametrize(("width", "height", "dark"), DEVICES)
def test_every_device_can_read_it(
    browser: Browser, shop: Shop, width: int, height: int, dark: bool
) -> None:
    """No sideways scrolling of the page itself, light and dark, wide and narrow."""
    shop.fill(10, "a-name-that-goes-on-and-on-without-a-place-to-break-it-" + "x" * 60 + "-{}")
    browser.shape(width, height, dark=dark)
    with shop.serving() as url:
        for place in ("", "#job/r1/9"):
            browser.open(url + place)
            wide = browser.run("return document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0
            ground = browser.run("return getComputedStyle(document.body).backgroundColor")
            assert (ground == "rgb(18, 23, 30)") is dark
            keep(browser, f"{'job' if place else 'all'}-{width}-{'dark' if dark else 'light'}")


@pytest.mark.parametrize(("width", "height", "dark"), DEVICES)
def test_axe_finds_nothing(
    browser: Browser, shop: Shop, axe: str, width: int, height: int, dark: bool
) -> None:
    """axe-core's rules of WCAG 2.2 AA: names, roles, contrast, headings, landmarks."""
    shop.fill(10)
    shop.conditions.set(ConditionName.RAINBOW_UNREACHABLE, "rainbow does not answer")
    browser.shape(width, height, dark=dark)
    with shop.serving() as url:
        for place in ("", "#job/r1/9"):
            browser.open(url + place)
            browser.run(axe)
            found = browser.driver.execute_async_script(
                "const done = arguments[0];"
                "axe.run().then(r => done(r.violations.map(v =>"
                " [v.id, v.nodes.map(n => n.html.slice(0, 120))])))"
            )
            assert found == []
