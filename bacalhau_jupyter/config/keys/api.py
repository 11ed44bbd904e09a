"""The API's address, its access rules, and how clients reach it."""

from __future__ import annotations

from bacalhau_jupyter.config.key import HONOURED, Key, Kind
from bacalhau_jupyter.config.keys.autocert import AUTOCERT

_NO_USERS = "policies and single sign-on come with a later version"

SECTION: tuple[Key, ...] = (
    Key(
        "API.Host",
        Kind.TEXT,
        "127.0.0.1",
        "Address the API listens on (upstream: 0.0.0.0)",
        HONOURED,
    ),
    Key(
        "API.Port",
        Kind.PORT,
        1234,
        "Port the API listens on; an embedded node takes another one when it is in use",
        HONOURED,
    ),
    Key(
        "API.AdvertisedAddress",
        Kind.TEXT,
        "",
        "Address at which nodes of other machines reach the API: HOST, HOST:PORT or https://HOST[:PORT] of a proxy",
        HONOURED,
        ours=True,
    ),
    Key("API.TLS.CertFile", Kind.TEXT, "", "Server certificate (PEM, with its chain)", HONOURED),
    Key("API.TLS.KeyFile", Kind.TEXT, "", "Key of the server certificate", HONOURED),
    Key("API.TLS.CAFile", Kind.TEXT, "", "Certificate authority that clients trust", HONOURED),
    Key("API.TLS.UseTLS", Kind.FLAG, False, "Whether clients speak HTTPS", HONOURED),
    Key(
        "API.TLS.Insecure",
        Kind.FLAG,
        False,
        "Whether clients skip the check of the server's certificate",
        HONOURED,
    ),
    Key(
        "API.TLS.SelfSigned",
        Kind.FLAG,
        False,
        "Whether the server makes its own certificate",
        HONOURED,
    ),
    *AUTOCERT,
    Key(
        "API.Auth.AccessPolicyPath",
        Kind.TEXT,
        "",
        "Rego policy (a file, or a folder) that decides each request; empty: sockets and keys decide",
        HONOURED,
    ),
    Key(
        "API.Auth.Methods",
        Kind.TREE,
        {"ClientKey": {"Type": "challenge"}},
        "Login methods: name → Type (challenge, ask), PolicyPath",
        HONOURED,
    ),
    Key(
        "API.Auth.PolicyEngine",
        Kind.TEXT,
        "",
        "What evaluates policies: built-in, or the path of an `opa` program; empty: `opa` where it is installed",
        HONOURED,
        ours=True,
    ),
    Key(
        "API.Auth.Users",
        Kind.RECORDS,
        [],
        "Users: Alias, Username, Password, APIKey, Capabilities",
        HONOURED,
    ),
    Key(
        "API.Auth.Oauth2.ProviderID",
        Kind.TEXT,
        "",
        "Identity provider for single sign-on; with it, the keys beside it are needed, too",
        HONOURED,
    ),
    Key("API.Auth.Oauth2.ProviderName", Kind.TEXT, "", "What people know the provider as", HONOURED),
    Key(
        "API.Auth.Oauth2.TokenEndpoint",
        Kind.TEXT,
        "",
        "URL at which clients fetch their token; the node does not ask there",
        HONOURED,
    ),
    Key("API.Auth.Oauth2.JWKSUri", Kind.TEXT, "", "URL of the provider's public keys", HONOURED),
    Key("API.Auth.Oauth2.Issuer", Kind.TEXT, "", "Issuer that tokens must name, exactly", HONOURED),
    Key("API.Auth.Oauth2.DeviceClientID", Kind.TEXT, "", "Client ID of the device flow", HONOURED),
    Key("API.Auth.Oauth2.Audience", Kind.TEXT, "", "Audience that tokens must name", HONOURED),
    Key("API.Auth.Oauth2.Scopes", Kind.LIST, [], "Scopes that clients ask for", HONOURED),
    Key(
        "API.Auth.Oauth2.DeviceAuthorizationEndpoint",
        Kind.TEXT,
        "",
        "URL at which clients begin the device flow",
        HONOURED,
    ),
    Key(
        "API.Auth.Oauth2.PollingInterval",
        Kind.INTEGER,
        0,
        "Seconds between a client's questions where the provider names none; 0: five",
        HONOURED,
    ),
    Key(
        "API.TrustLocalUser",
        Kind.FLAG,
        True,
        "Whether this OS user needs no key on loopback; turn it off in pods with sidecars",
        HONOURED,
        ours=True,
    ),
    Key("API.Names", Kind.LIST, [], "More host names that browsers may use for the API", HONOURED, ours=True),
)
