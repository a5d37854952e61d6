"""For tests: certificates, good and bad, and a scheduler that wants them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import trustme


def write_pair(leaf: trustme.LeafCert, folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate with its chain, and its key (mode 0600), as files; replaced if there."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    key.chmod(0o600)
    return cert, key


def long_ago() -> datetime:
    """When an expired certificate ended."""
    return datetime(2024, 5, 17, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Pki:
    """One authority, its file, and the files of a server and a client that it vouches for."""

    folder: Path
    authority: trustme.CA
    ca: Path
    server: tuple[Path, Path]
    client: tuple[Path, Path]

    @classmethod
    def make(cls, folder: Path, name: str = "pki") -> Pki:
        """A server for `rainbow.test` and 127.0.0.1, and a client."""
        authority, home = trustme.CA(), folder / name
        home.mkdir()
        ca = home / "ca.pem"
        ca.write_bytes(authority.cert_pem.bytes())
        server = write_pair(authority.issue_cert("rainbow.test", "127.0.0.1"), home, "server")
        client = write_pair(authority.issue_cert("blue.test"), home, "client")
        return cls(home, authority, ca, server, client)

    def server_flags(self) -> list[str]:
        """Of either scheduler."""
        cert, key = self.server
        return ["--ca-cert", str(self.ca), "--cert", str(cert), "--key", str(key)]

    def settings(self) -> dict[str, Any]:
        """Of a Program."""
        cert, key = self.client
        return {"tls_ca": self.ca, "tls_cert": cert, "tls_key": key}
