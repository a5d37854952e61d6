"""Every setting, declared once: its name, type, default, help; read once, each with its source.

Order of precedence: a flag, the environment (`RAINBOW_X`, or the file that `RAINBOW_X_FILE`
names), upstream's rainbow-config.yaml, the default. No other module reads the environment.
"""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rainbow_agent.core.errors import UsageError
from rainbow_agent.runtime import fault_injection, setting_defaults
from rainbow_agent.runtime import setting_types as parsing
from rainbow_agent.runtime.addresses import Address
from rainbow_agent.runtime.setting_types import Secret

PREFIX = "RAINBOW_"
#: Numbers that the operator wants reported as they are: RAINBOW_STATE_cost_per_node_hour=3
STATE_PREFIX = "RAINBOW_STATE_"
#: Overrides of probed values belong to rainbow-compspec, which reads them itself.
COMPSPEC_PREFIX = "RAINBOW_COMPSPEC_"
#: Kubernetes puts these into every pod when a Service is called `rainbow...` (service links).
_SERVICE_LINKS = re.compile(
    r"RAINBOW_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)$"
)

#: Where other programs read a proxy from (docs/decisions/0085).
_PROXY_NAMES = ("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY")


def _setting(
    parse: Callable[[str], Any], default: Any, help_text: str, *, secret: bool = False
) -> Any:
    return field(default=default, metadata={"parse": parse, "help": help_text, "secret": secret})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run. A field `x` is the variable `RAINBOW_X` (see docs/settings.md)."""

    host: str = _setting(parsing.host, "127.0.0.1:50051", "the rainbow scheduler, host:port")
    cluster: str = _setting(
        parsing.cluster,
        "",
        "this cluster's name; default: CLUSTER_NAME, else the hostname without its ordinal",
    )
    secret: Secret = _setting(
        parsing.secret, Secret(""), "the secret that allows registration with rainbow", secret=True
    )
    token: Secret = _setting(
        parsing.secret,
        Secret(""),
        "the token for clusters that are not listed in rainbow-config.yaml",
        secret=True,
    )
    config: Path = _setting(
        parsing.path, Path(), "upstream's rainbow-config.yaml; default: in the state folder"
    )
    state_dir: Path = _setting(
        parsing.path,
        Path(),
        "ledger, credentials and lock, on a volume that outlives the pod; default: see below",
    )
    lock_wait: float = _setting(
        parsing.seconds,
        3.0,
        "seconds to wait for the state folder while another agent has it (rainbow-pod-start: 120)",
    )
    sent_dir: Path = _setting(
        parsing.path,
        Path(),
        "what a sender of jobs keeps: inbox.yaml, keys, handles; default: rainbow-agent in"
        " XDG_STATE_HOME, or in ~/.local/state",
    )
    inbox: str = _setting(
        parsing.text,
        "",
        "the inbox of jobs that are sent: a file, auto to make one, or off; default: inbox.yaml in"
        " RAINBOW_SENT_DIR, where it is there",
    )
    reply_within: float = _setting(
        parsing.seconds,
        60.0,
        "seconds without a message about a job until its cluster is called silent",
    )
    keep_news: float = _setting(
        parsing.age,
        7 * 86400.0,
        "how long after a job's end messages about it are sent, and how long one may have waited"
        " that its sender still reads: 7d, 12h, 30m; the shorter of the sender's and the agent's"
        " counts",
    )
    results_max: int = _setting(
        parsing.size_or_off,
        100 * 1024**2,
        "most bytes of a job's result files that `fetch` gets, of the agent and of the sender: 64K,"
        " 100M, 2G; or off",
    )
    poll_min: float = _setting(parsing.seconds, 0.15, "seconds between polls while there is work")
    poll_max: float = _setting(
        parsing.seconds,
        5.0,
        "seconds between polls when nothing came for long; for large fleets see docs/scale.md",
    )
    max_jobs: int = _setting(parsing.count, 1024, "most jobs to receive in one poll")
    timeout: float = _setting(parsing.seconds, 10.0, "seconds until a call to rainbow times out")
    tls_ca: Path | None = _setting(
        parsing.path,
        None,
        "the authority that signed the server's certificate (PEM); turns TLS on",
    )
    tls_cert: Path | None = _setting(
        parsing.path, None, "the agent's own certificate (PEM), for mutual TLS"
    )
    tls_key: Path | None = _setting(
        parsing.path, None, "the private key of that certificate (PEM, no password)"
    )
    tls_name: str = _setting(
        parsing.text, "", "the name in the server's certificate, if it differs from the host"
    )
    grace: float = _setting(
        parsing.seconds, 25.0, "seconds that a shutdown may take (Kubernetes allows 30)"
    )
    proxy: str = _setting(
        parsing.host,
        "",
        "an HTTP proxy to reach rainbow through, host:port; http_proxy has no effect",
    )
    on_stop: str = _setting(
        parsing.one_of("leave", "cancel"),
        "leave",
        "what happens to running jobs when the agent is stopped: leave or cancel",
    )
    on_lost: str = _setting(
        parsing.one_of("resubmit", "fail"),
        "fail",
        "tasks that were running in a Flux instance that was replaced: resubmit or fail",
    )
    black_hole: int = _setting(
        parsing.count, 10, "jobs that fail within a second, one after another, until polling stops"
    )
    keep_jobs: int | None = _setting(
        parsing.count_or_all,
        100_000,
        "finished jobs that the ledger keeps with all details, the last to end; or all",
    )
    keep_for: float | None = _setting(
        parsing.age_or_all,
        90 * 86400.0,
        "how long the ledger keeps finished jobs with all details: 90d, 12h, 30m; or all",
    )
    report_every: float = _setting(
        parsing.seconds, 30.0, "seconds between reports when nothing changes"
    )
    workload: str = _setting(
        parsing.one_of("auto", "flux", "local"), "auto", "where tasks run: auto, flux or local"
    )
    queue: str = _setting(
        parsing.text, "", "the queue of Flux for jobs that name none; default: Flux's own default"
    )
    shared_fs: str = _setting(
        parsing.one_of("auto", "yes", "no"),
        "auto",
        "whether the nodes share a file system, so that `stage` need not copy: auto, yes, no",
    )
    local_cores: int = _setting(
        parsing.count,
        0,
        "cores of the local workload manager; default: those of the agent's process",
    )
    compspec_dir: Path = _setting(
        parsing.path, Path(), "where the nodes' descriptions are kept; default: the state folder"
    )
    extract_timeout: float = _setting(
        parsing.seconds, 10.0, "seconds that a node may take to describe itself"
    )
    racks: Path | None = _setting(
        parsing.path, None, "a file that says which nodes are in which rack (docs/compspec.md)"
    )
    subsystems_dir: Path = _setting(
        parsing.path,
        Path(),
        "the user's own subsystems, for `requires`; default: ~/.compspec/subsystems",
    )
    http: Address | None = _setting(
        parsing.listen,
        Address("127.0.0.1", 8788),
        "where probes, metrics and a page are served, host:port (port 0: any), or off",
    )
    log_level: str = _setting(
        parsing.one_of("debug", "info", "warning", "error"), "info", "debug, info, warning or error"
    )
    log_format: str = _setting(
        parsing.one_of("auto", "text", "json"), "auto", "text, json, or auto: text on a terminal"
    )
    flux_uri: str = field(
        default="", metadata={"env": "FLUX_URI", "parse": parsing.text, "help": "the Flux instance"}
    )
    #: RAINBOW_STATE_<key>: reported to rainbow under <key>, as numbers where they are.
    operator_state: Mapping[str, float | str] = field(default_factory=dict)
    #: Where each value came from: `default`, `environment RAINBOW_HOST`, `flag --host`, ...
    sources: Mapping[str, str] = field(default_factory=dict)
    #: Secrets that `<variable>_FILE` named a file for, by field: it may change while we run.
    secret_files: Mapping[str, Path] = field(default_factory=dict)
    #: A variable that names a proxy for other programs; rainbow is reached without it. "": none.
    unused_proxy: str = ""
    #: What is odd but not wrong: unknown names, with the nearest known one.
    warnings: tuple[str, ...] = ()

    @property
    def ledger_path(self) -> Path:
        """The ledger's database file."""
        return self.state_dir / "ledger.sqlite"

    @property
    def secret_values(self) -> frozenset[str]:
        """Texts that must not reach a job's environment or a log."""
        return frozenset(s.reveal() for s in (self.secret, self.token) if s)


def env_name(name: str) -> str:
    """The environment variable of a field: `host` is RAINBOW_HOST."""
    for spec in fields(Settings):
        if spec.name == name:
            return str(spec.metadata.get("env", PREFIX + name.upper()))
    raise KeyError(name)


def default_of(name: str) -> str:
    """A field's default as it would be written in the environment."""
    return next(str(spec.default) for spec in fields(Settings) if spec.name == name)


def setting_fields() -> list[Any]:
    """The dataclass fields that are settings, in order."""
    return [spec for spec in fields(Settings) if "parse" in spec.metadata]


def load(
    environ: Mapping[str, str],
    flags: Mapping[str, str | None] | None = None,
    *,
    hostname: str | None = None,
    from_config: Callable[[Path], Mapping[str, str]] = lambda _: {},
) -> Settings:
    """Settings from flags, environment, config file and defaults.

    Args:
        environ: the environment.
        flags: field name to text, from the command line; None where not given.
        hostname: this machine's name; asked of the system when None.
        from_config: reads `host`, `cluster` and `secret` out of a rainbow-config.yaml; what the
            file does not have is left out.

    Raises:
        UsageError: a value cannot be used; the message has its source.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for spec in setting_fields():
        found = _look_up(spec.name, environ, flags or {})
        if found is None:
            sources[spec.name] = "default"
            continue
        _put(values, sources, spec.name, *found)
    _derive_paths(values, environ)
    for name, text, source in _other_sources(values["config"], environ, hostname, from_config):
        if name not in values:
            _put(values, sources, name, text, source)
    if values.get("poll_min", 0.15) > values.get("poll_max", 5.0):
        raise UsageError("RAINBOW_POLL_MIN is above RAINBOW_POLL_MAX: lower it or raise the other")
    _check_tls(values)
    return Settings(
        **values,
        sources=sources,
        operator_state=_operator_state(environ),
        secret_files={
            name: Path(environ[env_name(name) + "_FILE"])
            for name, source in sources.items()
            if source.endswith(f"({env_name(name)}_FILE)")
        },
        unused_proxy=next((name for name in _PROXY_NAMES if environ.get(name)), ""),
        warnings=tuple(unknown_names(environ)),
    )


def _other_sources(
    config: Path,
    environ: Mapping[str, str],
    hostname: str | None,
    from_config: Callable[[Path], Mapping[str, str]],
) -> Iterator[tuple[str, str, str]]:
    """What counts where no flag or variable says it: name, text and source, the best first."""
    if environ.get("CLUSTER_NAME"):
        yield "cluster", environ["CLUSTER_NAME"], "environment CLUSTER_NAME"
    for name, text in from_config(config).items():
        if text:
            yield name, text, f"file {config}"
    host = (hostname or socket.gethostname()).split(".")[0].lower()
    yield "cluster", setting_defaults.default_cluster(host), f"hostname {host}"


def _check_tls(values: Mapping[str, Any]) -> None:
    """Rainbow's TLS is mutual: it needs all three files.

    Raises:
        UsageError: some are given and some are not.
    """
    names = ("tls_ca", "tls_cert", "tls_key")
    absent = [env_name(name) for name in names if not values.get(name)]
    given = [env_name(name) for name in (*names, "tls_name") if values.get(name)]
    if given and absent:
        raise UsageError(
            f"{', '.join(given)} is set and {', '.join(absent)} is not: rainbow's TLS is mutual and"
            " needs a CA, a certificate and a key; set all three, or none"
        )


def _look_up(
    name: str, environ: Mapping[str, str], flags: Mapping[str, str | None]
) -> tuple[str, str] | None:
    flag = flags.get(name)
    if flag is not None:
        return flag, f"flag --{name.replace('_', '-')}"
    env = env_name(name)
    if environ.get(env):
        return environ[env], f"environment {env}"
    file = environ.get(env + "_FILE") if _is_secret(name) else None
    if file:
        try:
            text = Path(file).read_text(encoding="utf-8-sig")  # editors on Windows write a mark
        except (OSError, UnicodeDecodeError) as exc:
            raise UsageError(f"{env}_FILE={file}: cannot read the secret: {exc}") from exc
        if not text.strip():
            raise UsageError(f"{env}_FILE={file}: the file is empty; write the secret into it")
        return text, f"file {file} ({env}_FILE)"
    return None


def _is_secret(name: str) -> bool:
    return any(s.name == name and s.metadata.get("secret") for s in fields(Settings))


def _put(
    values: dict[str, Any], sources: dict[str, str], name: str, text: str, source: str
) -> None:
    """Parse one value and note where it came from."""
    spec = next(s for s in setting_fields() if s.name == name)
    try:
        values[name] = spec.metadata["parse"](text)
    except ValueError as exc:
        shown = "" if spec.metadata.get("secret") else f" {text[:80]!r}"
        raise UsageError(f"{env_name(name)} (from {source}){shown} {exc}") from exc
    sources[name] = source


def _derive_paths(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    if "state_dir" not in values:
        values["state_dir"] = setting_defaults.default_state_dir(environ)
    if "sent_dir" not in values:
        values["sent_dir"] = setting_defaults.default_sent_dir(environ, values["state_dir"])
    if "config" not in values:
        values["config"] = values["state_dir"] / "rainbow-config.yaml"
    if "compspec_dir" not in values:
        values["compspec_dir"] = values["state_dir"]
    if "subsystems_dir" not in values:
        values["subsystems_dir"] = setting_defaults.default_subsystems_dir(values["state_dir"])


def _operator_state(environ: Mapping[str, str]) -> dict[str, float | str]:
    state: dict[str, float | str] = {}
    for name, value in environ.items():
        if name.startswith(STATE_PREFIX) and name != env_name("state_dir"):
            state[name[len(STATE_PREFIX) :]] = parsing.number_or_text(value)
    return state


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each RAINBOW_* variable that is not a setting, with the nearest that is."""
    known = {env_name(s.name) for s in setting_fields()}
    known |= {env_name(s.name) + "_FILE" for s in setting_fields() if s.metadata.get("secret")}
    if fault_injection.allowed(environ):
        known |= set(fault_injection.NAMES)
    sentences = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known or _SERVICE_LINKS.match(name):
            continue
        if name.startswith((STATE_PREFIX, COMPSPEC_PREFIX)):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        sentences.append(f"{name} is not a setting of rainbow-agent and does nothing{hint}")
    return sentences
