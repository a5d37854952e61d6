"""For tests: a real Prometheus that scrapes one address, with the rules of docs/monitoring."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import yaml

from support.common import eventually

PROMETHEUS: Final = shutil.which("prometheus")
RULES: Final = Path(__file__).parents[2] / "docs" / "monitoring" / "alerts.yaml"
#: Where the pages on alerts are, as this Prometheus is configured.
PAGES: Final = "https://wiki.example.org/rainbow-agent"


class Prometheus:
    """What it knows, over its HTTP API."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log
        self._port = 0

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now, each with `metric` (its labels) and `value`."""
        found = self._ask("query", query=expression)
        return list(found["result"])

    def label_values(self, metric: str, label: str) -> list[str]:
        """What Grafana's `label_values(metric, label)` gives."""
        found = self._ask(f"label/{label}/values", **{"match[]": metric})
        return [str(value) for value in found]

    def rules(self) -> Sequence[dict[str, Any]]:
        """Every rule with its health, and the alerts that are pending or firing."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def listens(self) -> bool:
        """Whether it does; its port is one that was free.

        Raises:
            AssertionError: it ended.
        """
        if self._process.poll() is not None:
            raise AssertionError(f"Prometheus ended:\n{self._log.read_text()}")
        for each in psutil.Process(self._process.pid).net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN:
                self._port = each.laddr.port
        return bool(self._port)

    def _ask(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:
            with exc:
                raise AssertionError(f"{path}: {exc.read().decode()}") from exc


@contextmanager
def scraping(target: str, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `target` (host:port) each second, for the length of a with block.

    Args:
        target: of the job `rainbow-agent`.
        folder: for its data and log.
    """
    assert PROMETHEUS
    folder.mkdir()
    config = {
        "global": {
            "scrape_interval": "1s",
            "evaluation_interval": "1s",
            "external_labels": {"rainbow_agent_docs": PAGES},
        },
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": "rainbow-agent", "static_configs": [{"targets": [target]}]}
        ],
    }
    path, log = folder / "prometheus.yaml", folder / "prometheus.log"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [PROMETHEUS, f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*command, "--web.listen-address=127.0.0.1:0"], stdout=output, stderr=output
        ) as process,
    ):
        found = Prometheus(process, log)
        try:
            eventually(found.listens, "Prometheus listens")
            yield found
        finally:
            process.kill()
