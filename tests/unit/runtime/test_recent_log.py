"""The last lines of the log stay, however the daemon ends, and never take more than two files."""

from __future__ import annotations

from pathlib import Path

from rainbow_agent.runtime.recent_log import MAX_BYTES, NEWER, OLDER, RecentLog


def test_the_last_lines_are_kept_and_no_more(tmp_path: Path) -> None:
    """Two bounded files, for their owner alone, with the newest line last."""
    log = RecentLog(tmp_path)
    line = "x" * 10_000
    for number in range(100):
        log.add(f"{number} {line}")
    files = [tmp_path / OLDER, tmp_path / NEWER]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    numbers = [int(text.split()[0]) for file in files for text in file.read_text().splitlines()]
    assert numbers == list(range(numbers[0], 100))
    for file in files:
        assert file.stat().st_size < MAX_BYTES + len(line) + 10
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """Whatever is wrong with it, logging goes on; a link is not followed."""
    RecentLog(tmp_path / "absent").add("lost")
    (tmp_path / NEWER).symlink_to(tmp_path / "elsewhere")
    RecentLog(tmp_path).add("lost")
    assert not (tmp_path / "elsewhere").exists()
