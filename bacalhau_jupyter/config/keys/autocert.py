"""Certificates that the node orders itself, by ACME."""

from __future__ import annotations

from bacalhau_jupyter.config.key import HONOURED, Key, Kind

AUTOCERT: tuple[Key, ...] = (
    Key(
        "API.TLS.AutoCert",
        Kind.TEXT,
        "",
        "Names and addresses, separated by commas, to get one certificate for by ACME; whoever sets it agrees "
        "to the terms of the server (upstream: one name)",
        HONOURED,
    ),
    Key(
        "API.TLS.AutoCertCachePath",
        Kind.TEXT,
        "",
        "Directory that keeps the ACME account and the certificate; `autocert-cache` in the data directory by "
        "default (upstream: the working directory)",
        HONOURED,
    ),
    Key(
        "API.TLS.AutoCertDirectory",
        Kind.TEXT,
        "https://acme-v02.api.letsencrypt.org/directory",
        "Directory of the ACME server",
        HONOURED,
        ours=True,
    ),
    Key(
        "API.TLS.AutoCertCAFile",
        Kind.TEXT,
        "",
        "Authority that verifies a private ACME server",
        HONOURED,
        ours=True,
    ),
    Key(
        "API.TLS.AutoCertContact",
        Kind.TEXT,
        "",
        "E-mail address that the ACME server may write to",
        HONOURED,
        ours=True,
    ),
    Key(
        "API.TLS.AutoCertChallenge",
        Kind.TEXT,
        "tls-alpn-01",
        "How the node proves its names: on port 443 by TLS, or on port 80 by HTTP",
        HONOURED,
        choices=("tls-alpn-01", "http-01"),
        ours=True,
    ),
    Key(
        "API.TLS.AutoCertHTTPPort",
        Kind.PORT,
        80,
        "Port that http-01 listens on while a certificate is ordered; port 80 of the names must lead there",
        HONOURED,
        ours=True,
    ),
    Key(
        "API.TLS.AutoCertProfile",
        Kind.TEXT,
        "",
        "Kind of certificate, of those that the ACME server offers; empty for its usual one (for addresses, the "
        "short-lived one)",
        HONOURED,
        ours=True,
    ),
)
