"""`config show`: every setting, its value, where it came from; no secret."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from rainbow_agent.cli import main
from rainbow_agent.cli.config import MASK, config_view
from rainbow_agent.runtime.settings import env_name, load, setting_fields

SECRET = "not-to-be-seen"


def test_every_setting_is_there_with_its_source() -> None:
    """Also the operator's own numbers."""
    settings = load({"RAINBOW_HOST": "rainbow:8080", "RAINBOW_STATE_zone": "eu"}, {"cluster": "b"})
    rows = {each["name"]: each for each in config_view(settings)["settings"]}
    assert rows.keys() >= {env_name(spec.name) for spec in setting_fields()}
    assert rows["RAINBOW_HOST"]["value"] == "rainbow:8080"
    assert rows["RAINBOW_HOST"]["source"] == "environment RAINBOW_HOST"
    assert rows["RAINBOW_CLUSTER"]["source"] == "flag --cluster"
    assert rows["RAINBOW_POLL_MAX"] == {
        "name": "RAINBOW_POLL_MAX",
        "value": "5",
        "source": "default",
        "secret": False,
    }
    assert rows["RAINBOW_STATE_zone"]["value"] == "eu"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("RAINBOW_KEEP_FOR", text) for text in ("90d", "90m", "1.5s", "all")),
        ("RAINBOW_KEEP_JOBS", "all"),
    ],
)
def test_what_is_shown_can_be_set(name: str, text: str) -> None:
    """A time has its unit, as it was written."""
    settings = load({name: text, "RAINBOW_CLUSTER": "blue"})
    rows = {each["name"]: each["value"] for each in config_view(settings)["settings"]}
    assert rows[name] in (text, "1.500s")
    assert load({name: rows[name], "RAINBOW_CLUSTER": "blue"}).keep_for == settings.keep_for


def test_a_bad_value_hides_nothing_else() -> None:
    """Each that is wrong is an error; the rest is shown, and the status is 2."""
    environ = {"RAINBOW_POLL_MIN": "fast", "RAINBOW_MAX_JOBS": "0", "RAINBOW_HOST": "rainbow:8080"}
    answer = CliRunner().invoke(main, ["config", "show"], env=environ)
    assert answer.exit_code == 2
    assert "error: RAINBOW_POLL_MIN" in answer.stderr
    assert "error: RAINBOW_MAX_JOBS" in answer.stderr
    assert "rainbow:8080" in answer.stdout


def test_secrets_are_masked_and_unknown_names_told() -> None:
    """In text and in JSON; a secret that is not set is not masked."""
    environ = {"RAINBOW_SECRET": SECRET, "RAINBOW_HOTS": "x", "RAINBOW_CLUSTER": "blue"}
    for arguments in (["config", "show"], ["config", "show", "-o", "json"]):
        answer = CliRunner().invoke(main, arguments, env=environ)
        assert answer.exit_code == 0, answer
        assert SECRET not in answer.output
        assert MASK in answer.output
        assert "did you mean RAINBOW_HOST?" in answer.output
    view = config_view(load(environ))
    rows = {each["name"]: each for each in view["settings"]}
    assert (rows["RAINBOW_TOKEN"]["value"], rows["RAINBOW_TOKEN"]["secret"]) == (None, True)
    assert len(view["unknown"]) == 1
    json.dumps(view)
