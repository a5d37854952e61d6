"""`config show`: every setting, its value, where it came from; no secret."""

from __future__ import annotations

import json

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
