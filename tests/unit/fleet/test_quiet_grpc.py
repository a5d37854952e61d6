"""grpc is imported without what is not used, and without traces in the process."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(
            "import sys; from rainbow_agent.fleet.grpc.quiet_grpc import grpc\n"
            "assert 'grpc.aio' not in sys.modules\n"
            "assert grpc.insecure_channel",
            id="not imported",
        ),
        pytest.param(
            "from rainbow_agent.fleet.grpc.quiet_grpc import grpc\n"
            "import grpc.aio\n"
            "assert grpc.aio.insecure_channel",
            id="asked for later",
        ),
        pytest.param(
            "import grpc\n"
            "from rainbow_agent.fleet.grpc.quiet_grpc import grpc as quiet\n"
            "assert quiet.aio.insecure_channel",
            id="there before",
        ),
        pytest.param(
            "import os, rainbow_agent.fleet.grpc.quiet_grpc\n"
            "assert 'GRPC_VERBOSITY' not in os.environ",
            id="environment",
        ),
    ],
)
def test_grpc_is_as_ever_but_for_its_asyncio_half(program: str) -> None:
    """In a process of its own each: an import is once."""
    subprocess.run([sys.executable, "-c", program], check=True)
