"""For hatchling: what the wheel has beside the packages, for `rainbow-agent assets`.

Not in an editable installation: files of the package beside site-packages would look like a second
package of the same name, and a checkout has the files anyway.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Folder below the package's `assets` to what of the repository goes there.
ASSETS = {
    "systemd": (
        "systemd/rainbow-agent.service",
        "systemd/rainbow-agent.service.d",
        "systemd/rainbow-agent.sysusers",
        "systemd/rainbow-agent.tmpfiles",
        "systemd/environment.example",
    ),
    "monitoring": ("docs/monitoring/alerts.yaml", "docs/monitoring/dashboard.json"),
    "crd": ("crd",),
}


class AssetsHook(BuildHookInterface):  # type: ignore[type-arg] # its types are not of use here
    """Adds them to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the build; `version` is `standard` or `editable`."""
        if version == "standard":
            for kind, places in ASSETS.items():
                for place in places:
                    name = "" if place == kind else "/" + place.rpartition("/")[2]
                    build_data["force_include"][place] = f"rainbow_agent/assets/{kind}{name}"
