# A release fills in version and digest (distribution/artefacts.py).

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyRainbowAgent(PythonPackage):
    """Makes a Flux cluster a working member of a rainbow fleet."""

    homepage = "https://github.com/converged-computing/rainbow"
    pypi = "rainbow-agent/rainbow_agent-@VERSION@.tar.gz"

    license("MIT")

    version("@VERSION@", sha256="@SHA256@")

    variant("flux", default=True, description="With Flux, whose bindings the agent loads")

    depends_on("python@3.10:", type=("build", "run"))
    depends_on("py-hatchling@1.21:", type="build")
    depends_on("py-archspec@0.2.5:", type=("build", "run"))
    depends_on("py-cffi@1.15:", type=("build", "run"))
    depends_on("py-click@8.2:", type=("build", "run"))
    depends_on("py-cryptography@42:", type=("build", "run"))
    depends_on("py-grpcio@1.70:", type=("build", "run"))
    depends_on("py-prometheus-client@0.20:", type=("build", "run"))
    depends_on("py-protobuf@6.31:7", type=("build", "run"))
    depends_on("py-psutil@5.9:", type=("build", "run"))
    depends_on("py-pyyaml@6.0:", type=("build", "run"))
    depends_on("py-stamina@24.3:", type=("build", "run"))
    depends_on("py-watchdog@4.0:", type=("build", "run"))
    depends_on("py-waitress@3.0.1:", type=("build", "run"))
    depends_on("flux-core@0.62:", type="run", when="+flux")

    # What `spack test run` imports.
    import_modules = ["rainbow_agent.api", "rainbow_compspec.api"]

    def test_programs_start(self):
        """Both programs start, and are of this version."""
        for name in ("rainbow-agent", "rainbow-compspec"):
            program = which(join_path(self.prefix.bin, name), required=True)
            assert str(self.spec.version) in program("--version", output=str.split)
