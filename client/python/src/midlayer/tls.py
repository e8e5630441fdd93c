"""Encryption: which certificates are trusted and shown."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from midlayer.errors import InvalidArgument

_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")  # how OpenSSL names files in a folder of roots


@dataclass(frozen=True)
class Tls:
    """How a connection is encrypted. Files are PEM, and read once.

    Attributes:
        ca: Roots to trust in place of the system's.
        certificate: A certificate to show to a server that asks for one (mutual TLS), those between it and its root
            behind it.
        key: Its private key, without a password.
        server_name: The name in the server's certificate, where it is not the host of the target.
    """

    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    server_name: str | None = None


def make_credentials(tls: Tls, token: str | None) -> grpc.ChannelCredentials:
    """For a channel. OSError where a file cannot be read, InvalidArgument where it is not what it should be."""
    if (tls.certificate is None) != (tls.key is None):
        raise InvalidArgument("tls.certificate, tls.key: expected both or none, found one")
    roots = _system_roots() if tls.ca is None else _read_roots(tls.ca)
    certificate, key = None, None
    if tls.certificate is not None and tls.key is not None:
        certificate, key = _read_pair(tls.certificate, tls.key)
    credentials = grpc.ssl_channel_credentials(roots, key, certificate)
    if token is None:
        return credentials
    return grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))


# gRPC would take any files, and fail with every connection.


def _read_roots(file: str | os.PathLike[str]) -> bytes:
    pem = Path(file).read_bytes()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError as error:
        raise InvalidArgument(f"tls.ca: expected certificates in PEM, found {os.fspath(file)}") from error
    return pem


def _read_pair(certificate: str | os.PathLike[str], key: str | os.PathLike[str]) -> tuple[bytes, bytes]:
    pems = Path(certificate).read_bytes(), Path(key).read_bytes()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise InvalidArgument(
            "tls.certificate, tls.key: expected a certificate and its key, in PEM and without a password, found "
            f"{os.fspath(certificate)} and {os.fspath(key)}"
        ) from error
    return pems


def _no_password() -> str:
    return ""


def _system_roots() -> bytes | None:
    """The roots that Python's ssl trusts; None, for gRPC's own, where it has none or gRPC's variable names others."""
    if os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):
        return None
    roots = [ssl.DER_cert_to_PEM_cert(root).encode() for root in ssl.create_default_context().get_ca_certs(True)]
    folder = ssl.get_default_verify_paths().capath
    if not roots and folder:  # which OpenSSL reads when it needs to
        roots = [path.read_bytes() for path in sorted(Path(folder).iterdir()) if _HASHED.fullmatch(path.name)]
    return b"\n".join(roots) or None
