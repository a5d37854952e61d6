"""Settings: where each value comes from, what is refused, what is said of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rainbow_agent.core.errors import UsageError
from rainbow_agent.runtime.setting_defaults import default_state_dir
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.settings import (
    Settings,
    env_name,
    load,
    unknown_names,
)


def settings(
    environ: dict[str, str] | None = None,
    flags: dict[str, str | None] | None = None,
    *,
    hostname: str = "blue-0",
    file: dict[str, str] | None = None,
) -> Settings:
    return load(environ or {}, flags, hostname=hostname, from_config=lambda _: file or {})


def test_defaults_are_usable_and_say_so() -> None:
    """Without flags, environment and file every value is the default, and its source says it."""
    found = settings()
    assert found.host == "127.0.0.1:50051"
    assert (found.poll_min, found.poll_max, found.max_jobs) == (0.15, 5.0, 1024)
    assert (found.workload, found.log_level, found.log_format) == ("auto", "info", "auto")
    assert {found.sources[name] for name in ("host", "poll_min", "secret")} == {"default"}
    assert found.warnings == ()


def test_flag_wins_over_environment_file_and_default() -> None:
    """A flag is the last word, and the source names it."""
    found = settings({"RAINBOW_HOST": "env:1"}, {"host": "flag:2"}, file={"host": "file:3"})
    assert (found.host, found.sources["host"]) == ("flag:2", "flag --host")


def test_environment_wins_over_config_file() -> None:
    """What the pod's environment says beats the file that is shared with upstream's scripts."""
    found = settings({"RAINBOW_HOST": "env:1"}, {"host": None}, file={"host": "file:3"})
    assert (found.host, found.sources["host"]) == ("env:1", "environment RAINBOW_HOST")


def test_config_file_wins_over_default(tmp_path: Path) -> None:
    """The host in rainbow-config.yaml is used where nothing else names one."""
    config = tmp_path / "rainbow-config.yaml"
    found = settings({"RAINBOW_CONFIG": str(config)}, file={"host": "file:3"})
    assert (found.host, found.sources["host"]) == ("file:3", f"file {config}")


def test_config_file_names_cluster_and_registration_secret_too() -> None:
    """Upstream's file is enough to start from; CLUSTER_NAME and our own variables beat it."""
    file = {"cluster": "red", "secret": "hush-hush", "host": ""}
    found = settings(file=file)
    assert (found.cluster, found.secret.reveal()) == ("red", "hush-hush")
    assert found.sources["cluster"] == f"file {found.config}"
    assert found.sources["host"] == "default", "what is empty in the file is not set"
    environ = {"CLUSTER_NAME": "green", "RAINBOW_SECRET": "other"}
    found = settings(environ, file=file)
    assert (found.cluster, found.secret.reveal()) == ("green", "other")


def test_flag_source_is_spelled_as_it_is_typed() -> None:
    """A field with an underscore has a flag with a hyphen."""
    assert settings({}, {"state_dir": "/x"}).sources["state_dir"] == "flag --state-dir"


def test_empty_variable_is_as_good_as_none() -> None:
    """An operator's template that leaves a variable empty does not change the default."""
    found = settings({"RAINBOW_HOST": "", "RAINBOW_CLUSTER": ""})
    assert (found.host, found.cluster) == ("127.0.0.1:50051", "blue")


def test_secret_from_a_file_loses_its_line_end(tmp_path: Path) -> None:
    """A mounted Kubernetes secret is read from the file that RAINBOW_SECRET_FILE names."""
    path = tmp_path / "secret"
    path.write_text("hush-hush\n")
    found = settings({"RAINBOW_SECRET_FILE": str(path)})
    assert found.secret.reveal() == "hush-hush"
    assert found.sources["secret"] == f"file {path} (RAINBOW_SECRET_FILE)"


def test_secret_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """An editor on Windows puts one there; it is no part of the secret."""
    path = tmp_path / "secret"
    path.write_bytes(b"\xef\xbb\xbfhush-hush\r\n")
    assert settings({"RAINBOW_SECRET_FILE": str(path)}).secret.reveal() == "hush-hush"


def test_secret_in_the_environment_wins_over_its_file(tmp_path: Path) -> None:
    """The file is not even opened when the variable itself is there."""
    gone = str(tmp_path / "not-there")
    found = settings({"RAINBOW_SECRET": "from-env", "RAINBOW_SECRET_FILE": gone})
    assert found.secret.reveal() == "from-env"


def test_token_comes_from_a_file_too(tmp_path: Path) -> None:
    """Every secret has its _FILE form."""
    path = tmp_path / "token"
    path.write_text("jellaytime")
    assert settings({"RAINBOW_TOKEN_FILE": str(path)}).token.reveal() == "jellaytime"


def test_secret_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message has the variable and the path."""
    path = tmp_path / "not-there"
    with pytest.raises(UsageError, match=r"RAINBOW_SECRET_FILE=.*not-there.*cannot read"):
        settings({"RAINBOW_SECRET_FILE": str(path)})


def test_secret_file_of_bytes_that_are_no_text_is_not_shown(tmp_path: Path) -> None:
    """A binary file is refused by name; none of its content is in the message."""
    path = tmp_path / "secret"
    path.write_bytes(b"hushhush\xff\xfe")
    with pytest.raises(UsageError) as caught:
        settings({"RAINBOW_SECRET_FILE": str(path)})
    assert "hushhush" not in str(caught.value)


def test_only_secrets_have_a_file_form() -> None:
    """RAINBOW_HOST_FILE is no setting, and is reported as such."""
    found = settings({"RAINBOW_HOST_FILE": "/etc/host"})
    assert found.host == "127.0.0.1:50051"
    assert any("RAINBOW_HOST_FILE is not a setting" in text for text in found.warnings)


def test_secrets_show_in_no_repr() -> None:
    """Neither the settings nor a secret's own repr or str holds the value."""
    found = settings({"RAINBOW_SECRET": "hush-hush", "RAINBOW_TOKEN": "jellaytime"})
    shown = f"{found!r} {found} {found.secret!r} {found.secret} {found.token!r}"
    assert "hush" not in shown
    assert "jellay" not in shown
    assert found.secret_values == {"hush-hush", "jellaytime"}


def test_empty_secret_is_no_secret() -> None:
    """An unset secret is false, and is not among the values to hide."""
    assert not Secret("")
    assert settings().secret_values == frozenset()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RAINBOW_HOST", "rainbow", "host:port"),
        ("RAINBOW_HOST", "rainbow:0", "host:port"),
        ("RAINBOW_HOST", "rainbow:65536", "host:port"),
        ("RAINBOW_HOST", ":50051", "host:port"),
        ("RAINBOW_HOST", "http://rainbow:50051", "write rainbow:50051"),
        ("RAINBOW_CLUSTER", "Blue", "not a cluster name"),
        ("RAINBOW_CLUSTER", 'a"b', "not a cluster name"),
        ("RAINBOW_CLUSTER", "blue\n", "not a cluster name"),
        ("RAINBOW_CLUSTER", "-blue", "not a cluster name"),
        ("RAINBOW_CLUSTER", "b" * 64, "not a cluster name"),
        ("RAINBOW_POLL_MIN", "soon", "number of seconds"),
        ("RAINBOW_POLL_MAX", "0", "above 0"),
        ("RAINBOW_POLL_MAX", "nan", "above 0"),
        ("RAINBOW_TIMEOUT", "inf", "above 0"),
        ("RAINBOW_MAX_JOBS", "0", "whole number"),
        ("RAINBOW_MAX_JOBS", "2.5", "whole number"),
        ("RAINBOW_MAX_JOBS", "٣", "whole number"),
        ("RAINBOW_WORKLOAD", "slurm", "one of auto, flux, local"),
        ("RAINBOW_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("RAINBOW_LOG_FORMAT", "xml", "one of auto, text, json"),
    ],
)
def test_a_bad_value_names_its_source(name: str, value: str, says: str) -> None:
    """The message says where the value stands, what it is and what would do."""
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        settings({name: value})
    assert str(caught.value).startswith(f"{name} (from environment {name}) {value[:80]!r} ")
    assert caught.value.exit_code == 2


def test_a_bad_flag_names_the_flag() -> None:
    """A value from the command line is not blamed on the environment."""
    with pytest.raises(UsageError, match=r"from flag --host\) 'rainbow' must be host:port"):
        settings({"RAINBOW_HOST": "good:1"}, {"host": "rainbow"})


def test_a_bad_host_in_the_config_file_names_the_file(tmp_path: Path) -> None:
    """The file that upstream's scripts write can be wrong too; that is no traceback."""
    config = tmp_path / "rainbow-config.yaml"
    with pytest.raises(UsageError, match=r"rainbow-config\.yaml"):
        settings({"RAINBOW_CONFIG": str(config)}, file={"host": "rainbow"})


def test_a_long_bad_value_is_cut() -> None:
    """A whole file pasted into a variable does not fill the terminal."""
    with pytest.raises(UsageError) as caught:
        settings({"RAINBOW_HOST": "x" * 10_000})
    assert len(str(caught.value)) < 300


def test_poll_times_in_the_wrong_order_are_refused() -> None:
    """The least time between polls cannot be above the most."""
    with pytest.raises(UsageError, match="RAINBOW_POLL_MIN is above RAINBOW_POLL_MAX"):
        settings({"RAINBOW_POLL_MIN": "30"})


def test_ipv6_host_is_a_host() -> None:
    """The port is what stands after the last colon."""
    assert settings({"RAINBOW_HOST": "[::1]:50051"}).host == "[::1]:50051"


@pytest.mark.parametrize(
    ("hostname", "cluster"),
    [
        ("blue-0", "blue"),
        ("blue-0.flux-service.default.svc.cluster.local", "blue"),
        ("Gpu-Pool-12", "gpu-pool"),
        ("workstation", "workstation"),
        ("blue-v2", "blue-v2"),
    ],
)
def test_cluster_is_the_hostname_without_its_ordinal(hostname: str, cluster: str) -> None:
    """The lead broker of MiniCluster blue is pod blue-0; its cluster is blue."""
    found = settings(hostname=hostname)
    assert found.cluster == cluster
    assert found.sources["cluster"].startswith("hostname ")


def test_cluster_name_of_the_walk_through_wins_over_the_hostname() -> None:
    """CLUSTER_NAME is what upstream's walk-through sets; RAINBOW_CLUSTER is ours, and wins."""
    assert settings({"CLUSTER_NAME": "green"}).cluster == "green"
    both = settings({"CLUSTER_NAME": "green", "RAINBOW_CLUSTER": "red"})
    assert (both.cluster, both.sources["cluster"]) == ("red", "environment RAINBOW_CLUSTER")


def test_hostname_that_is_no_cluster_name_says_what_to_set() -> None:
    """An odd hostname is refused with the way out."""
    with pytest.raises(UsageError, match=r"RAINBOW_CLUSTER \(from hostname my_host\)"):
        settings(hostname="my_host")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("RAINBOW_CLUSTR", "RAINBOW_CLUSTER"),
        ("RAINBOW_POLLMAX", "RAINBOW_POLL_MAX"),
        ("RAINBOW_SECRET_FILES", "RAINBOW_SECRET_FILE"),
        ("RAINBOW_LOGLEVEL", "RAINBOW_LOG_LEVEL"),
    ],
)
def test_unknown_name_is_reported_with_the_nearest(name: str, nearest: str) -> None:
    """A typing mistake does not pass in silence."""
    (sentence,) = settings({name: "x"}).warnings
    assert sentence == (
        f"{name} is not a setting of rainbow-agent and does nothing; did you mean {nearest}?"
    )


def test_unknown_name_never_shows_its_value() -> None:
    """What stands in a misspelled secret stays there."""
    assert "hush" not in str(unknown_names({"RAINBOW_SECRT": "hush"}))


@pytest.mark.parametrize(
    "name",
    [
        "RAINBOW_SERVICE_HOST",
        "RAINBOW_SERVICE_PORT",
        "RAINBOW_SERVICE_PORT_GRPC",
        "RAINBOW_PORT",
        "RAINBOW_PORT_8080_TCP",
        "RAINBOW_PORT_8080_TCP_ADDR",
        "RAINBOW_PORT_8080_TCP_PORT",
        "RAINBOW_PORT_8080_TCP_PROTO",
        "RAINBOW_PORT_53_UDP",
    ],
)
def test_service_links_of_kubernetes_are_not_reported(name: str) -> None:
    """A Service called rainbow puts these into every pod; they are not misspelled."""
    assert unknown_names({name: "tcp://10.0.0.1:8080"}) == []


@pytest.mark.parametrize("name", ["RAINBOW_STATE_cost", "RAINBOW_COMPSPEC_SET_cpu__arch", "HOME"])
def test_names_that_belong_to_others_are_not_reported(name: str) -> None:
    """Operator's numbers, compspec's overrides and the rest of the environment are no mistakes."""
    assert unknown_names({name: "1"}) == []


def test_operator_state_is_numbers_where_they_are() -> None:
    """RAINBOW_STATE_x is reported under x, as it is; RAINBOW_STATE_DIR is a setting."""
    found = settings(
        {
            "RAINBOW_STATE_cost_per_node_hour": "3",
            "RAINBOW_STATE_zone": "eu-west",
            "RAINBOW_STATE_DIR": "/state",
        }
    )
    assert found.operator_state == {"cost_per_node_hour": 3.0, "zone": "eu-west"}
    assert found.state_dir == Path("/state")


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity"])
def test_operator_state_that_json_has_no_number_for_stays_text(value: str) -> None:
    """JSON knows no NaN and no infinity; a report must not die of them."""
    assert settings({"RAINBOW_STATE_x": value}).operator_state == {"x": value}


def test_state_folder_of_the_unit_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Systemd's StateDirectory, else root's or the user's own place."""
    assert default_state_dir({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}) == Path("/var/lib/a")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_state_dir({}) == Path("/var/lib/rainbow-agent")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert default_state_dir({"XDG_STATE_HOME": "/s"}) == Path("/s/rainbow-agent")
    assert default_state_dir({}) == Path("~/.local/state").expanduser() / "rainbow-agent"


def test_config_and_ledger_live_in_the_state_folder() -> None:
    """One folder on a volume keeps everything, unless RAINBOW_CONFIG says otherwise."""
    found = settings({"RAINBOW_STATE_DIR": "/state"})
    assert found.config == Path("/state/rainbow-config.yaml")
    assert found.ledger_path == Path("/state/ledger.sqlite")
    assert settings({"RAINBOW_CONFIG": "/c.yaml"}).config == Path("/c.yaml")


def test_flux_uri_is_read_under_its_own_name() -> None:
    """FLUX_URI is Flux's, so it has no RAINBOW_ before it."""
    found = settings({"FLUX_URI": "local:///run/flux/local"})
    assert found.flux_uri == "local:///run/flux/local"
    assert found.sources["flux_uri"] == "environment FLUX_URI"


def test_a_field_that_is_no_setting_has_no_variable() -> None:
    """Asking for the variable of something else is a mistake in the program."""
    with pytest.raises(KeyError):
        env_name("colour")


@pytest.mark.parametrize(
    ("hostname", "cluster"),
    [
        ("blue-0", "blue"),
        ("exp-2-0.flux-service.default", "exp-2"),
        ("BLUE-11", "blue"),
        ("login", "login"),
        ("ip-10-0-1-23", "ip-10-0-1-23"),
        ("ip-10-0-1-24.ec2.internal", "ip-10-0-1-24"),
        ("10-0-1-23", "10-0-1-23"),
        ("instance-20260628-063012", "instance-20260628-063012"),
    ],
)
def test_the_default_cluster_name_is_of_one_cluster(hostname: str, cluster: str) -> None:
    """A host's index is dropped; a number that tells stand-alone hosts apart is not."""
    assert settings(hostname=hostname).cluster == cluster


def test_a_user_without_a_home_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenShift gives a pod a user id that is in no list of users, and HOME may not be set."""

    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    monkeypatch.setattr("os.geteuid", lambda: 1000680000)
    with pytest.raises(UsageError, match=r"user id 1000680000 .*set RAINBOW_STATE_DIR"):
        load({"RAINBOW_CLUSTER": "blue"})
    with pytest.raises(UsageError, match=r"RAINBOW_CONFIG .*write the path out"):
        load({"RAINBOW_STATE_DIR": "/s", "RAINBOW_CONFIG": "~/c.yaml"})
