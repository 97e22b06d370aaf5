"""Build the ssl.SSLContext that does what libpq does with the same ssl* parameters.

The source of every rule is libpq's `initialize_SSL` (fe-secure-openssl.c) and the manual's section "SSL
Support". The context verifies; which of plain and TLS is tried, and in which order, is not decided here.
"""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["client_context"]

_VERSIONS = {
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}

#: The protocol name that PostgreSQL registered for TLS's ALPN extension.
_ALPN = ["postgresql"]


def client_context(params: Mapping[str, str]) -> ssl.SSLContext:
    """Make the context for `params`, libpq's resolved parameters with an sslmode other than disable.

    As in libpq, a server is verified under verify-ca and verify-full, and under the weaker modes wherever a
    root certificate is found. Raises `ConfigError` for a file that is missing, unreadable or too widely
    readable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if _load_roots(context, params):
        context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = params["sslmode"] == "verify-full"
    if params.get("sslcertmode") != "disable":
        _load_client_certificate(context, params)
    _limit_versions(context, params)
    if ssl.HAS_ALPN:
        context.set_alpn_protocols(_ALPN)
    return context


def _load_roots(context: ssl.SSLContext, params: Mapping[str, str]) -> bool:
    """Load the root certificates and revocation lists; tell whether there are any roots to verify with."""
    roots = params.get("sslrootcert", "")
    if roots == "system":
        context.set_default_verify_paths()
        return True
    path = Path(roots) if roots else _home("root.crt")
    if not path.exists():
        if params["sslmode"].startswith("verify-"):
            raise ConfigError(
                f"sslmode={params['sslmode']} needs the root certificate file {printable(str(path))}, which does not"
                " exist: name one with sslrootcert, or use sslrootcert=system"
            )
        return False
    _load(context, "sslrootcert", cafile=path)
    _load_revocations(context, params)
    return True


def _load_revocations(context: ssl.SSLContext, params: Mapping[str, str]) -> None:
    """Load revocation lists. One that is named must be there: libpq would go on without it in silence."""
    file, folder = params.get("sslcrl", ""), params.get("sslcrldir", "")
    if not file and not folder:
        default = _home("root.crl")
        file = str(default) if default.exists() else ""
    if folder and not Path(folder).is_dir():
        raise ConfigError(f"sslcrldir={printable(folder)} is not a directory")
    if file:
        _load(context, "sslcrl", cafile=Path(file))
    if folder:
        _load(context, "sslcrldir", capath=Path(folder))
    if file or folder:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _load(context: ssl.SSLContext, key: str, *, cafile: Path | None = None, capath: Path | None = None) -> None:
    try:
        context.load_verify_locations(cafile=cafile, capath=capath)
    except OSError as error:  # ssl.SSLError is one
        where = printable(str(cafile or capath))
        raise ConfigError(f"{key}: cannot read certificates from {where}: {error}") from error


def _load_client_certificate(context: ssl.SSLContext, params: Mapping[str, str]) -> None:
    """Load the client's certificate and key, where there is a certificate."""
    named_cert, named_key = params.get("sslcert", ""), params.get("sslkey", "")
    cert = Path(named_cert) if named_cert else _home("postgresql.crt")
    if not cert.exists():  # libpq too goes on without: the server decides whether it needs one
        return
    key = Path(named_key) if named_key else _home("postgresql.key")
    _check_private(key)
    secret = params.get("sslpassword", "")
    try:
        # A function, so that OpenSSL never asks on the terminal.
        context.load_cert_chain(cert, key, password=lambda: secret)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot load the client certificate {cert} with the key {key}: {error}") from error


def _check_private(key: Path) -> None:
    """Refuse a private key that others could read, by libpq's rule."""
    try:
        facts = key.stat()
    except OSError as error:
        raise ConfigError(f"there is a client certificate, but its private key {key} cannot be read") from error
    if not stat.S_ISREG(facts.st_mode):
        raise ConfigError(f"the private key {key} is not a regular file")
    # A key that root owns may be readable for its group.
    allowed = stat.S_IRWXU | stat.S_IRGRP if facts.st_uid == 0 else stat.S_IRWXU
    if stat.S_IMODE(facts.st_mode) & 0o777 & ~allowed:
        raise ConfigError(f"the private key {key} can be read by others: chmod 600 it")


def _limit_versions(context: ssl.SSLContext, params: Mapping[str, str]) -> None:
    lowest = params.get("ssl_min_protocol_version", "")
    highest = params.get("ssl_max_protocol_version", "")
    context.minimum_version = _VERSIONS[lowest.lower()] if lowest else ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = _VERSIONS[highest.lower()] if highest else ssl.TLSVersion.MAXIMUM_SUPPORTED


def _home(name: str) -> Path:
    return Path("~/.postgresql").expanduser() / name
