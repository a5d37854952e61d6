"""For tests: what the sender of a job sees when the agent dies while they are told, or ask."""

from __future__ import annotations

from pathlib import Path

from rainbow_agent.runtime.fault_injection import CrashPoint
from support.crashes import Ground, set_up
from support.desk import Desk


def news(ground: Ground, point: CrashPoint, folder: Path) -> None:
    """Killed while the sender of a job is told of its end: in the end they know it, once."""
    with set_up(folder, ground.kind, flux=ground.flux) as stage:
        desk = Desk(stage.site, folder / "sender")
        desk.make_inbox()
        handle = desk.submit("true")
        stage.dies_at(point)
        stage.finishes("true")
        stage.tells_all()
        (job,) = desk.sender.show("status", handle)
        assert (job["state"], job["tasks"][0]["exit_code"]) == ("completed", 0)
        assert job["id"] == stage.row("true").key.id
        assert stage.site.fleet.waiting() == []


def a_question(ground: Ground, point: CrashPoint, folder: Path) -> None:
    """Killed while the sender of a job asks for its end: it is canceled, and they are told."""
    with set_up(folder, ground.kind, flux=ground.flux) as stage:
        desk = Desk(stage.site, folder / "sender")
        desk.make_inbox()
        handle = desk.submit("sleep", "600")
        assert desk.sender.run("cancel", handle, "--no-wait").code == 124
        stage.dies_at(point)
        stage.finishes("sleep")
        stage.tells_all()
        (job,) = desk.sender.show("status", handle)
        assert job["state"] == "canceled"
        assert stage.site.fleet.waiting() == []


def an_answer(ground: Ground, point: CrashPoint, folder: Path) -> None:
    """Killed while the sender of a job is answered: the next start answers again."""
    with set_up(folder, ground.kind, flux=ground.flux) as stage:
        desk = Desk(stage.site, folder / "sender")
        desk.make_inbox()
        results = ("--cwd", str(folder), "--results", "result")
        handle = desk.submit("sh", "-c", "echo hello; echo 1 > result", options=results)
        stage.finishes("sh")
        stage.tells_all()
        with (
            stage.armed(point),
            desk.sender.background("logs", handle, reply_within=300) as reader,
        ):
            assert reader.wait() == 0
            assert reader.log() == "hello\n"
        with stage.site.program.background("start"):
            assert desk.sender.run("logs", handle).out == "hello\n"
        for time in (1, 2):  # the list of files, and a piece of one
            here = folder / f"here-{time}"
            fetch = desk.sender.background("fetch", handle, "--to", str(here), reply_within=300)
            with fetch as reader:
                with stage.armed(point, time=time):
                    pass
                with stage.site.program.background("start"):
                    assert reader.wait() == 0
            assert (here / "result").read_text() == "1\n"
        assert stage.site.fleet.waiting() == []
