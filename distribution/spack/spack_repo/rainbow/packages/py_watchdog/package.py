from spack_repo.builtin.packages.py_watchdog.package import PyWatchdog as BuiltinPyWatchdog

from spack.package import *


class PyWatchdog(BuiltinPyWatchdog):
    """Watches files. Spack's own repository ends with 2.1.6, which is too old for the agent."""

    version("6.0.0", sha256="9ddf7c82fda3ae8e24decda1338ede66e1c99883db93711d8fb941eaa2d8c282")

    depends_on("python@3.9:", type=("build", "run"), when="@6:")
