"""Policies of a node that lets nobody in without a login, by a word or by a key pair."""

from __future__ import annotations

import json
from pathlib import Path

LOCKED = """
package bacalhau.authz
import rego.v1
default allow := false
default token_valid := false
allow if input.http.path[2] == "auth"
allow if token_valid
token_valid if input.http.path[2] == "auth"
token_valid if {
    bearer := trim_prefix(input.http.headers["Authorization"][0], "Bearer ")
    [right, _, _] := io.jwt.decode_verify(bearer, input.constraints)
    right
}
"""
ASKING = """
package bacalhau.authn
import rego.v1
schema := {
    "type": "object",
    "properties": {"person": {"type": "string"}, "word": {"type": "string", "writeOnly": true}},
    "required": ["person", "word"],
}
token := made if {
    input.ask.word == "open sesame"
    made := io.jwt.encode_sign({"typ": "JWT", "alg": "RS256"}, {
        "iss": input.nodeId, "aud": [input.nodeId], "sub": input.ask.person,
        "iat": time.now_ns() / 1000, "exp": time.add_date(time.now_ns(), 0, 1, 0) / 1000, "ns": {"*": 15},
    }, input.signingKey)
}
"""
ANYKEY = """
package bacalhau.authn
import rego.v1
token := io.jwt.encode_sign({"typ": "JWT", "alg": "RS256"}, {
    "iss": input.nodeId, "aud": [input.nodeId], "sub": input.clientId,
    "iat": time.now_ns() / 1000, "exp": time.add_date(time.now_ns(), 0, 1, 0) / 1000, "ns": {"*": 15},
}, input.signingKey)
"""


def settings_in(directory: Path) -> Path:
    """Write the policies to a directory, and a configuration that names them; return its path."""
    paths = {}
    for name, text in {"locked": LOCKED, "word": ASKING, "anykey": ANYKEY}.items():
        paths[name] = directory / f"{name}.rego"
        paths[name].write_text(text)
    methods = {
        "word": {"Type": "ask", "PolicyPath": str(paths["word"])},
        "anykey": {"Type": "challenge", "PolicyPath": str(paths["anykey"])},
    }
    settings = directory / "auth.yaml"
    settings.write_text(
        json.dumps({"API": {"Auth": {"AccessPolicyPath": str(paths["locked"]), "Methods": methods}}})
    )
    return settings
