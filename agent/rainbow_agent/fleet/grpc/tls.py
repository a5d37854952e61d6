"""TLS to rainbow: the three files, read again when they change, and what is wrong with them.

The Go server's TLS is mutual: it wants a client certificate that its --ca-cert signed (075ee23,
pkg/certs). gRPC says only that a handshake failed, so what failed is found out here, with a
handshake of our own.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rainbow_agent.core.errors import UsageError
from rainbow_agent.fleet.grpc.tcp import open_socket
from rainbow_agent.runtime import addresses
from rainbow_agent.runtime.settings import Settings

#: For each step of finding out why a handshake failed.
_STEP_TIMEOUT_S: Final = 3.0
_SETTING: Final = {"ca": "RAINBOW_TLS_CA", "cert": "RAINBOW_TLS_CERT", "key": "RAINBOW_TLS_KEY"}
#: Codes of openssl/x509_vfy.h: a host name, or an address, that does not match.
_WRONG_NAME: Final = (62, 64)
#: Not valid yet, or not any more.
_WRONG_TIME: Final = (9, 10)
#: Identity of what stands in the files: inode, size and time of the last change of each.
FileStamps = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class TlsFiles:
    """Where the certificates are, PEM text each."""

    ca: Path  # whose signature the server's certificate must have
    cert: Path  # ours, with its chain
    key: Path  # to it
    name: str = ""  # the server's name in its certificate; "": the host's

    def stamps(self) -> FileStamps:
        """What to compare to see whether a file changed; a missing one has a stamp, too."""
        found = []
        for path in (self.ca, self.cert, self.key):
            try:
                facts = path.stat()
                found.append((facts.st_ino, facts.st_size, facts.st_mtime_ns))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)

    def read(self) -> tuple[bytes, bytes, bytes]:
        """CA, certificate and key, each looked at.

        Raises:
            UsageError: a file cannot be used; the message has its setting, its path and why.
        """
        texts = {name: self._read(name) for name in _SETTING}
        _check_authority(self.ca)
        self._check_pair()
        return texts["ca"], texts["cert"], texts["key"]

    def why_not(self, host: str, proxy: str = "") -> str:
        """Why a handshake with a server fails, with the file or setting to look at; "" if not.

        Args:
            host: host:port.
            proxy: host:port of an HTTP proxy; "" for none.
        """
        try:
            self.read()
        except UsageError as exc:
            return str(exc)
        return self._own_validity() or _handshake(host, proxy, self)

    def _read(self, name: str) -> bytes:
        path: Path = getattr(self, name)
        try:
            return path.read_bytes()
        except OSError as exc:
            raise UsageError(
                f"{_SETTING[name]}={path}: cannot read the file: {exc.strerror}"
            ) from exc

    def _check_pair(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            # A password is never asked for at a terminal: a daemon has none.
            context.load_cert_chain(self.cert, self.key, password=_no_password)
        except _Encrypted as exc:
            raise UsageError(
                f"RAINBOW_TLS_KEY={self.key}: the key is encrypted; it must be one without a"
                " password, in a file that only the agent's user can read"
            ) from exc
        except ssl.SSLError as exc:
            if exc.reason == "KEY_VALUES_MISMATCH":
                raise UsageError(
                    f"RAINBOW_TLS_KEY={self.key}: the key is not the one of the certificate in"
                    f" RAINBOW_TLS_CERT={self.cert}"
                ) from exc
            bad = "cert" if not _holds_certificate(self.cert) else "key"
            what = "certificate" if bad == "cert" else "private key"
            raise UsageError(
                f"{_SETTING[bad]}={getattr(self, bad)}: not a {what} in PEM form"
                f" ({exc.reason or exc})"
            ) from exc

    def _own_validity(self) -> str:
        """What is wrong with the dates of our own certificate."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for context in (server, client):
            context.load_cert_chain(self.cert, self.key)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        # It is its own authority here, so that only what it says of itself can be wrong.
        server.verify_mode = ssl.CERT_REQUIRED
        server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        server.load_verify_locations(self.cert)
        try:
            _between(server, client)
        except ssl.SSLCertVerificationError as exc:
            return f"RAINBOW_TLS_CERT={self.cert}: {exc.verify_message}"
        except ssl.SSLError:
            pass  # whatever it is, the server may see it otherwise
        return ""


class _Encrypted(Exception):
    """OpenSSL asked for a password."""


def _no_password() -> str:
    raise _Encrypted


def _check_authority(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as exc:
        raise UsageError(
            f"RAINBOW_TLS_CA={path}: not a certificate in PEM form ({exc.reason or exc})"
        ) from exc


def _holds_certificate(path: Path) -> bool:
    try:
        _check_authority(path)
    except UsageError:
        return False
    return True


def _between(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """A handshake in memory.

    Raises:
        ssl.SSLError: it fails.
    """
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        server.wrap_bio(there, back, server_side=True),
        client.wrap_bio(back, there),
    ]
    for _ in range(4):  # two round trips are enough
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


def _handshake(host: str, proxy: str, files: TlsFiles) -> str:
    """What a server says to our certificates, and we to its; "" when all is well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # as strict as gRPC's, and not stricter
    context.load_verify_locations(files.ca)
    context.load_cert_chain(files.cert, files.key)
    context.set_alpn_protocols(["h2"])
    name = files.name or addresses.to_connect(host).host
    try:
        with (
            open_socket(host, proxy, _STEP_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            return _after(secure, host, files)
    except ssl.SSLCertVerificationError as exc:
        return _server_certificate_problem(exc, host, name, files)
    except ssl.SSLError as exc:
        return _server_alert(exc.reason or str(exc), host, files)
    except OSError:
        return ""  # no connection, or no answer: not a matter of certificates


def _after(secure: ssl.SSLSocket, host: str, files: TlsFiles) -> str:
    """What comes when our part of the handshake is done.

    In TLS 1.3 the server looks at our certificate only then. One that takes it speaks at once
    (HTTP/2 begins with its settings, RFC 9113 3.4); one that does not says so, or just leaves.
    """
    try:
        if secure.recv(1):
            return ""
    except (ssl.SSLEOFError, ConnectionError):
        pass
    return _server_alert("alert: it ended the connection on seeing it", host, files)


def _server_certificate_problem(
    exc: ssl.SSLCertVerificationError, host: str, name: str, files: TlsFiles
) -> str:
    words = exc.verify_message
    if exc.verify_code in _WRONG_NAME:
        return (
            f"the certificate that the server shows is not for {name}: set RAINBOW_TLS_NAME to the"
            " name that it is for, if this is your server, or RAINBOW_HOST to that name"
        )
    if exc.verify_code in _WRONG_TIME:
        return f"the certificate that the server {host} shows (its --cert), or its CA's: {words}"
    return (
        f"RAINBOW_TLS_CA={files.ca} does not vouch for the certificate that the server {host}"
        f" shows (its --cert): {words}"
    )


def _server_alert(reason: str, host: str, files: TlsFiles) -> str:
    """What an alert of the server's means."""
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return (
            f"the server {host} does not speak TLS: unset RAINBOW_TLS_CA, RAINBOW_TLS_CERT and"
            " RAINBOW_TLS_KEY, or start it with --ca-cert, --cert and --key"
        )
    said = reason.lower().replace("_", " ")
    if "alert" not in said:
        return f"the TLS handshake with the server {host} fails: {said}"
    return (
        f"the server {host} does not take RAINBOW_TLS_CERT={files.cert} ({said}): it must be valid"
        " now, and signed by the authority in the server's --ca-cert"
    )


def speaks_tls(host: str, proxy: str = "") -> bool:
    """Whether a server that we speak to without TLS wants it. No, if there is no answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            open_socket(host, proxy, _STEP_TIMEOUT_S) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except (OSError, ValueError):
        return False


def tls_files(settings: Settings) -> TlsFiles | None:
    """The certificates that the settings name; None for a connection without TLS."""
    if settings.tls_ca is None or settings.tls_cert is None or settings.tls_key is None:
        return None  # settings.load() saw that it is all or none
    return TlsFiles(settings.tls_ca, settings.tls_cert, settings.tls_key, settings.tls_name)


def check_tls(settings: Settings) -> None:
    """See that the certificates can be used, before anything is begun.

    Raises:
        UsageError: a file cannot; one that is out of date may be replaced while we run.
    """
    files = tls_files(settings)
    if files is not None:
        files.read()
