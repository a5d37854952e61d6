"""One job on the page: where it is, what its tasks print, and what to do at a shell."""

from __future__ import annotations

import pytest

from browser.conftest import keep
from support.browser import Browser
from support.web import Shop

pytestmark = pytest.mark.browser


def test_commands_can_be_copied(browser: Browser, shop: Shop) -> None:
    """Into the clipboard; where the browser does not let a page do that, they are marked."""
    shop.fill(12)
    with shop.serving() as url:
        browser.open(f"{url}#job/r1/10")
        commands = browser.run(
            "return [...document.querySelectorAll('#job code')].map(e => e.innerText)"
        )
        assert commands[:3] == [
            "rainbow-agent explain 10",
            "rainbow-agent cancel 10",
            "rainbow-agent logs 10 solve",
        ]
        browser.run("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
        browser.press("#job-commands .copy")
        browser.until("return window.copied === 'rainbow-agent explain 10'")
        browser.run("navigator.clipboard.writeText = async () => { throw new Error('no'); }")
        browser.press("#output-note .copy")
        browser.until("return getSelection().toString() === 'rainbow-agent logs 10 solve'")


def test_the_end_of_what_a_task_printed_is_shown(browser: Browser, shop: Shop) -> None:
    """Of the one that is to blame, or of the one that is asked for; with its exit code."""
    shop.fill(12)
    with shop.serving() as url:
        browser.open(f"{url}#job/r1/9")
        browser.until("return document.querySelector('#output .stderr')")
        assert browser.text("#job-reason") == "solve[4]: exit code 3"
        assert browser.text("#output-title") == "Output of solve[4]"
        assert browser.text("#output") == "step 1\nstep 2\nsolve: no convergence\n"
        assert browser.text("#output .stderr") == "solve: no convergence\n"
        codes = browser.run(
            "return [...document.querySelectorAll('#tasks tr')].map(e => e.cells[2].innerText)"
        )
        assert codes == ["0", "0", "0", "3 (solve[4])", "-", "-"]
        shop.records.cut = True
        browser.press("#tasks tr:nth-child(2) a")
        browser.until(
            "return document.getElementById('output-title').innerText === 'Output of build'"
        )
        assert browser.run("return location.hash") == "#job/r1/9/build"
        assert "This is the end of it." in browser.text("#output-note")
        assert "rainbow-agent logs 9 build" in browser.text("#output-note")


def test_who_may_not_read_outputs_gets_the_command(browser: Browser, shop: Shop) -> None:
    """And everything else of the job; so does who looks while the workload manager is away."""
    shop.fill(12)
    shop.owner_asks = False
    with shop.serving() as url:
        browser.open(f"{url}#job/r1/9")
        assert "the agent's own user and root" in browser.text("#output-note")
        assert "rainbow-agent logs 9" in browser.text("#output-note")
        assert browser.run("return document.querySelectorAll('#tasks tr').length") == 6
        shop.owner_asks, shop.workload_problem = True, "Flux does not answer"
        browser.until(
            "return document.getElementById('output-note').innerText.includes('Flux does not')"
        )
        shop.workload_problem = ""
        browser.until("return document.querySelector('#output .stderr')")


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
        assert browser.text("#job-reason") == "solve[4]: exit code 3"
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


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("#job/r1/77", "There is no job 77 of registration r1 in the ledger."),
        ("#job/77", "The address #job/77 names no job."),
        ("#job/%/1", "The address #job/%/1 names no job."),
    ],
)
def test_a_job_that_is_not_there_is_one_sentence(
    browser: Browser, shop: Shop, place: str, sentence: str
) -> None:
    """An old link, or a typing mistake; and the way to those that are there."""
    with shop.serving() as url:
        browser.open(url + place)
        assert browser.text("main") == f"All jobs\n\n{sentence}"
        assert "idle" in browser.text("#state")
