"""The page in a real browser: it shows what is true, to everybody, and runs nothing of a job's."""

from __future__ import annotations

from contextlib import closing

import pytest

from browser.conftest import keep
from rainbow_agent.core.model import TaskChange, TaskKey
from rainbow_agent.core.states import TaskState
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.storage.ledger import SqliteLedger
from support.browser import Browser
from support.shapes import RFC_3339
from support.web import Shop

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"
#: Each state's colour on its ground, in light and in dark: enough for WCAG 2 AA (4.5 to 1).
DEVICES = [(1280, 900, False), (1280, 900, True), (390, 844, False), (390, 844, True)]


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


def total(browser: Browser, text: str) -> None:
    """Wait until it says how many jobs are shown."""
    browser.until(f"return document.getElementById('jobs-total').innerText.startsWith({text!r})")


def states(browser: Browser) -> set[str]:
    """The states of all jobs in the table."""
    shown = browser.run(
        "return [...document.querySelectorAll('#jobs .state')].map(e => e.innerText)"
    )
    return {state.split()[-1] for state in shown}


def test_jobs_are_filtered_by_state_and_by_name(browser: Browser, shop: Shop) -> None:
    """Chips have the count of each state, and the total says how many match."""
    shop.fill(40)
    with shop.serving() as url:
        browser.open(url)
        chips = browser.run(
            "return [...document.querySelectorAll('.chips button')].map(e => e.innerText)"
        )
        assert [text.split()[-2:] for text in chips] == [
            ["all", "40"],
            ["submitted", "10"],
            ["running", "10"],
            ["completed", "10"],
            ["failed", "10"],
        ]
        browser.press("[data-chip=failed]")
        total(browser, "10 jobs match")
        assert states(browser) == {"failed"}
        browser.press("[data-chip=running]")
        total(browser, "20 jobs match")
        assert states(browser) == {"failed", "running"}
        browser.press("[data-chip=running]")
        total(browser, "10 jobs match")
        browser.run(
            "const t = document.getElementById('filter-text'); t.value = 'JOB-1';"
            "t.dispatchEvent(new Event('input', {bubbles: true}))"
        )
        total(browser, "3 jobs match")


def test_the_address_has_the_filters(browser: Browser, shop: Shop) -> None:
    """So a link can be sent, and the browser's own way back works."""
    shop.fill(40)
    with shop.serving() as url:
        browser.open(f"{url}?state=failed&state=running&text=job-2")
        assert browser.text("#jobs-total").startswith("6 jobs match")
        assert browser.run("return document.getElementById('filter-text').value") == "job-2"
        chips = "document.querySelectorAll('.chips [aria-pressed=true]')"
        pressed = f"return [...{chips}].map(e => e.dataset.chip)"
        assert browser.run(pressed) == ["running", "failed"]
        browser.press("[data-chip=all]")
        total(browser, "11 jobs match")
        assert browser.run("return location.search") == "?text=job-2"
        browser.press("#jobs a")
        browser.until("return document.querySelector('#tasks tr')")
        browser.press("#all-jobs")
        total(browser, "11 jobs match")
        browser.driver.back()
        browser.driver.back()
        browser.driver.back()
        total(browser, "6 jobs match")
        browser.open(f"{url}?state=nonsense&node=x")
        assert browser.text("#jobs-total").startswith("40 jobs,")


def test_a_node_has_its_rank_and_leads_to_its_jobs(browser: Browser, shop: Shop) -> None:
    """Those that run there now; what the filter is can be seen, and taken away."""
    shop.fill(12)
    shop.records.running = {3: [10 * 1000 + 3 * 50 + 7]}
    with shop.serving() as url:
        browser.open(url)
        assert browser.text("#nodes li:nth-child(4)").split("\n")[0].startswith("3 blue-3")
        assert "down" in browser.text("#nodes li:nth-child(6)")
        browser.press("[data-rank='3']")
        total(browser, "1 job match")
        assert browser.run("return location.search") == "?node=3"
        assert browser.run("return document.querySelector('#jobs td').innerText") == "10"
        assert browser.text("#filter-node") == "running on blue-3 ×"
        shop.workload_problem = "Flux at local:///x does not answer"
        browser.until("return !document.getElementById('jobs-problem').hidden")
        assert browser.text("#jobs-problem").endswith("Flux at local:///x does not answer")
        assert "working" in browser.text("#state")
        browser.press("#filter-node")
        total(browser, "12 jobs,")
        assert browser.run("return document.getElementById('jobs-problem').hidden")


def test_forty_jobs_are_on_a_screen_of_900_pixels(browser: Browser, shop: Shop) -> None:
    """Beside the nodes, and below the counts of the states."""
    shop.fill(5000)
    with shop.serving() as url:
        browser.open(url)
        rows = browser.run(
            "return [...document.querySelectorAll('#jobs tr')]"
            ".filter(e => e.getBoundingClientRect().bottom <= 900).length"
        )
        assert rows >= 40


def test_times_are_how_long_ago_and_exact_on_hover(browser: Browser, shop: Shop) -> None:
    """They go on by themselves, also in a table that does not change."""
    shop.fill(12)
    with shop.serving() as url:
        browser.open(url)
        assert browser.text("#jobs time") == "10 min ago"
        titles = browser.run(
            "return [...document.querySelectorAll('#jobs time')].map(e => e.title)"
        )
        assert len(titles) == 12
        assert all(RFC_3339.fullmatch(title) for title in titles)
        browser.until("return document.getElementById('live').innerText === '● live, 1 s ago'")
        said = browser.text("#said")
        assert said.startswith("rainbow at 127.0.0.1:50051 answered ")
        assert said.endswith(" · jobs run on flux · rainbow-agent 1.2.3 up 60 min")


def test_what_is_wrong_has_its_name_and_what_to_do(browser: Browser, shop: Shop) -> None:
    """The name is the one that alerts have."""
    shop.conditions.set(ConditionName.RAINBOW_UNREACHABLE, "rainbow does not answer")
    with shop.serving() as url:
        browser.open(url)
        reason = browser.text("#reasons li")
        assert reason.startswith("rainbow-unreachable rainbow does not answer (for ")
        assert reason.endswith("To do: rainbow-agent doctor: name, port, TLS, server")
        assert browser.text("#reasons .advice code") == "rainbow-agent doctor"


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
    """Title, badge and icon say it, the page says since when; it recovers by itself."""
    shop.fill(1)
    icon = "return document.getElementById('icon').href"
    with shop.serving() as url:
        browser.open(url)
        well = browser.run(icon)
        assert well.startswith("data:image/svg+xml,")
    browser.until("return document.title === 'blue: no answer'")
    assert browser.text("#state") == "■ no answer"
    assert browser.run(icon) != well
    assert "has not answered since" in browser.text("#away")
    assert browser.text("#live").startswith("■ not live, ")
    port = int(url.rpartition(":")[2].strip("/"))
    with shop.serving(port):
        browser.until("return document.title === 'blue: idle'")
        assert browser.run("return document.getElementById('away').hidden")
        assert browser.run(icon) == well


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
