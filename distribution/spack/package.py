# A recipe for spack (https://spack.readthedocs.io): a release fills in version and digest, and
# puts the file beside the wheel. It goes into a repository's packages/py_rainbow_agent/package.py.

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
