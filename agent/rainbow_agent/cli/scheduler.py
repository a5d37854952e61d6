"""`rainbow-agent scheduler`: the embedded scheduler as a server of its own."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from rainbow_agent.cli.common import reports_errors, say


@click.command(name="scheduler")
@click.option(
    "--host", default=":50051", show_default=True, help="Address to listen on, host:port or :port."
)
@click.option(
    "--secret",
    envvar="RAINBOW_SECRET",
    default="chocolate-cookies",
    show_default=True,
    show_envvar=True,
    help="The registration secret; in RAINBOW_SECRET it does not show in `ps`.",
)
@click.option(
    "--global-token",
    envvar="RAINBOW_TOKEN",
    show_envvar=True,
    help="The token for all clusters; default: the name; '': each cluster gets its own.",
)
@click.option(
    "--db",
    type=click.Path(path_type=Path),
    default=Path("rainbow.db"),
    show_default=True,
    help="The sqlite file.",
)
@click.option("--name", default="rainbow", show_default=True, help="The server's name.")
@click.option("--select-algorithm", default="random", show_default=True)
@click.option("--match-algorithm", default="match", show_default=True)
@click.option(
    "--ca-cert",
    type=click.Path(path_type=Path),
    help="The authority that signs clients' certificates (PEM); default: no TLS.",
)
@click.option(
    "--cert",
    type=click.Path(path_type=Path),
    help="The server's certificate (PEM); default: no TLS.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    help="The server's private key (PEM); default: no TLS.",
)
@click.option(
    "--keep-messages",
    type=click.FloatRange(min=0),
    default=7 * 86400,
    show_default=True,
    metavar="SECONDS",
    help="How long messages between agents and senders wait; 0: as rows of jobs, as in Go.",
)
@reports_errors
def command(
    *,
    host: str,
    secret: str,
    global_token: str | None,
    db: Path,
    name: str,
    select_algorithm: str,
    match_algorithm: str,
    ca_cert: Path | None,
    cert: Path | None,
    key: Path | None,
    keep_messages: float,
) -> None:
    """Run a rainbow-compatible scheduler, for a first look, tests and small fleets.

    The flags are the Go server's, apart from --keep-messages. Prints `listening on HOST:PORT` when
    ready; SIGTERM stops it.

    Example: rainbow-agent scheduler --host 127.0.0.1:50051 --db rainbow.db
    """
    from rainbow_agent.fleet.scheduler_server import server  # noqa: PLC0415 - grpc: heavy
    from rainbow_agent.runtime.stop import stop_on_signals  # noqa: PLC0415 - with the server

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with stop_on_signals() as stop:
        running = server.serve(
            host,
            secret,
            name if global_token is None else global_token,
            db,
            name=name,
            select_algorithm=select_algorithm,
            match_algorithm=match_algorithm,
            tls=server.ServerTls.from_flags(ca_cert, cert, key),
            keep_messages=keep_messages,
        )
        say(f"listening on {host.rpartition(':')[0]}:{running.port}")
        stop.wait()
        running.stop()
