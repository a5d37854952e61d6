"""The last lines of the log stay, however the daemon ends, and never take more than two files."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from rainbow_agent.runtime.recent_log import MAX_BYTES, MAX_WAITING, NEWER, OLDER, RecentLog
from support.common import eventually


def test_the_last_lines_are_kept_and_no_more(tmp_path: Path) -> None:
    """Two bounded files, for their owner alone, with the newest line last."""
    log = RecentLog(tmp_path)
    line = "x" * 10_000
    for number in range(100):
        log.add(f"{number} {line}")
    log.close()
    files = [tmp_path / OLDER, tmp_path / NEWER]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    numbers = [int(text.split()[0]) for file in files for text in file.read_text().splitlines()]
    assert numbers == list(range(numbers[0], 100))
    for file in files:
        assert file.stat().st_size < MAX_BYTES + len(line) + 10
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """Whatever is wrong with it, logging goes on; a link is not followed."""
    absent = RecentLog(tmp_path / "absent")
    absent.add("lost")
    absent.close()
    (tmp_path / NEWER).symlink_to(tmp_path / "elsewhere")
    linked = RecentLog(tmp_path)
    linked.add("lost")
    linked.close()
    assert not (tmp_path / "elsewhere").exists()


def test_a_disk_that_hangs_holds_up_no_log_call(tmp_path: Path) -> None:
    """What it takes later is kept, and how many lines are missing is said among them."""
    os.mkfifo(tmp_path / NEWER)  # opening it waits for a reader, as a hung file system does
    log = RecentLog(tmp_path)
    for number in range(MAX_WAITING + 100):
        log.add(f"line {number}")
    reader, found = os.open(tmp_path / NEWER, os.O_RDWR | os.O_NONBLOCK), bytearray()

    def reads(text: bytes) -> bool:
        with suppress(BlockingIOError):
            found.extend(os.read(reader, 65536))
        return text in found

    eventually(lambda: reads(b"line 9\n"), "it is written again")
    log.add("later")
    eventually(lambda: reads(b"later\n"), "all of it is written")
    os.close(reader)
    missing = sum(map(int, re.findall(rb"^\((\d+) lines are missing here", found, re.MULTILINE)))
    assert missing >= 99
    assert missing + found.count(b"line ") == MAX_WAITING + 100
