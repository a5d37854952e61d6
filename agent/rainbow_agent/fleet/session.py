"""What a call to rainbow needs, and what is known when such a call was refused."""

from __future__ import annotations

from dataclasses import dataclass

from rainbow_agent.core.errors import ClusterUnknown, RequestDenied
from rainbow_agent.runtime.setting_types import Secret


@dataclass(frozen=True)
class Session:
    """What a call to rainbow needs."""

    cluster: str
    secret: Secret
    registration: str


@dataclass(frozen=True)
class SessionError:
    """Rainbow's answer to a call with this session: it lost the cluster or its graph."""

    session: Session
    error: ClusterUnknown | RequestDenied
