"""The installed program over mutual TLS: every verb that speaks to rainbow, and wrong settings."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from support.program import Program, installed
from support.servers import SchedulerKind, running_scheduler
from support.tls import Pki, long_ago, write_pair


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(SchedulerKind.EMBEDDED, id="embedded"),
        pytest.param(SchedulerKind.REAL, id="rainbow", marks=pytest.mark.rainbow),
    ],
)
def test_a_job_over_tls(kind: SchedulerKind, tmp_path: Path) -> None:
    """Register, submit, receive, start and deregister, with certificates that change meanwhile."""
    if kind.missing():
        pytest.skip(kind.missing())
    pki = Pki.make(tmp_path)
    with ExitStack() as stack:
        scheduler = stack.enter_context(running_scheduler(kind, tmp_path, flags=pki.server_flags()))
        program = stack.enter_context(
            installed(
                tmp_path,
                host=scheduler.host,
                cluster="blue",
                secret=scheduler.secret,
                workload="local",
                poll_min=0.05,
                poll_max=0.2,
                **pki.settings(),
            )
        )
        for words in (
            ("register",),
            ("submit", "--", "touch", str(tmp_path / "ran")),
            ("receive",),
        ):
            answer = program.run(*words)
            assert answer.code == 0, (words, answer)
        with program.background("start") as agent:
            program.await_end(1)
            write_pair(pki.authority.issue_cert("blue.test"), pki.folder, "client")
            agent.says("The TLS files changed")
            assert program.run("submit", "--", "touch", str(tmp_path / "too")).code == 0
            program.await_end(2)
            assert agent.stop() == 0, agent.log()
        assert program.run("deregister").code == 0
        key = pki.client[1].read_text().splitlines()[1]
        assert key not in program.logs()
    assert (tmp_path / "ran").exists()
    assert (tmp_path / "too").exists()


def test_settings_that_do_not_go_together(tmp_path: Path) -> None:
    """Some of the three files, or one that cannot be used: exit code 2, and which."""
    pki = Pki.make(tmp_path)
    some = Program(tmp_path, tls_ca=pki.ca, tls_cert=pki.client[0]).run("start")
    assert some.code == 2
    assert "RAINBOW_TLS_KEY is not" in some.err
    pki.client[1].unlink()
    absent = Program(tmp_path, workload="local", **pki.settings()).run("start")
    assert absent.code == 2
    assert f"RAINBOW_TLS_KEY={pki.client[1]}: cannot read the file" in absent.err


@pytest.mark.full
def test_an_expired_certificate_is_told_and_healed(tmp_path: Path) -> None:
    """The daemon says which file it is, waits, and registers when there is a new one."""
    pki = Pki.make(tmp_path)
    write_pair(pki.authority.issue_cert("blue.test", not_after=long_ago()), pki.folder, "client")
    with (
        running_scheduler("embedded", tmp_path, flags=pki.server_flags()) as scheduler,
        installed(
            tmp_path,
            host=scheduler.host,
            cluster="blue",
            secret=scheduler.secret,
            workload="local",
            poll_min=0.05,
            poll_max=0.2,
            **pki.settings(),
        ) as program,
        program.background("start") as agent,
    ):
        agent.says(f"RAINBOW_TLS_CERT={pki.client[0]}: certificate has expired")
        write_pair(pki.authority.issue_cert("blue.test"), pki.folder, "client")
        agent.says("Registered cluster blue")
        assert agent.stop() == 0, agent.log()
