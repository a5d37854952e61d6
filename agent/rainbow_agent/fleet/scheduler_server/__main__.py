"""`python -m rainbow_agent.fleet.scheduler_server`: the scheduler as a process.

Prints one line, `listening on HOST:PORT`, when it answers; exits with status 0 on SIGTERM or
SIGINT. The flags are the Go server's; secrets are better given in the environment, where other
users of the machine do not see them.
"""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path

import click

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.fleet.scheduler_server import server


@click.command()
@click.option("--host", default=server.DEFAULT_HOST, show_default=True, help="host:port or :port")
@click.option(
    "--secret",
    envvar="RAINBOW_SECRET",
    default=server.DEFAULT_SECRET,
    help="allows clusters to register  [env: RAINBOW_SECRET]",
)
@click.option(
    "--global-token",
    envvar="RAINBOW_TOKEN",
    default=server.DEFAULT_TOKEN,
    help="submits to every cluster; '' gives each its own  [env: RAINBOW_TOKEN]",
)
@click.option("--db", type=click.Path(path_type=Path), default=server.DEFAULT_DB)
@click.option("--name", default="rainbow", show_default=True)
@click.option("--select-algorithm", default="random", show_default=True)
@click.option("--match-algorithm", default="match", show_default=True)
@click.option("--ca-cert", type=click.Path(path_type=Path), help="Signed clients' certificates.")
@click.option("--cert", type=click.Path(path_type=Path), help="The server's certificate (PEM).")
@click.option("--key", type=click.Path(path_type=Path), help="Its private key (PEM).")
def main(
    *,
    host: str,
    secret: str,
    global_token: str,
    db: Path,
    name: str,
    select_algorithm: str,
    match_algorithm: str,
    ca_cert: Path | None,
    cert: Path | None,
    key: Path | None,
) -> None:
    """Run a rainbow scheduler until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        running = server.serve(
            host,
            secret,
            global_token,
            db,
            name=name,
            select_algorithm=select_algorithm,
            match_algorithm=match_algorithm,
            tls=server.ServerTls.from_flags(ca_cert, cert, key),
        )
    except RainbowAgentError as exc:
        click.echo(f"Error: {exc}", err=True)
        raise SystemExit(exc.exit_code) from exc
    click.echo(f"listening on {host.rpartition(':')[0]}:{running.port}")
    stop.wait()
    running.stop()


if __name__ == "__main__":
    main()
