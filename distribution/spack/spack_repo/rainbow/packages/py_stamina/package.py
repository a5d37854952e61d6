from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyStamina(PythonPackage):
    """Production-grade retries made easy. Spack's own repository does not have it yet."""

    homepage = "https://stamina.hynek.me/"
    pypi = "stamina/stamina-26.1.0.tar.gz"

    license("MIT")

    version("26.1.0", sha256="0214d05fdf5102c518194a4aac7520ce53cf660550ae3b940701aad88cf50c17")

    depends_on("python@3.10:", type=("build", "run"))
    depends_on("py-hatchling", type="build")
    depends_on("py-hatch-vcs", type="build")
    depends_on("py-hatch-fancy-pypi-readme@22.8:", type="build")
    depends_on("py-tenacity", type=("build", "run"))
