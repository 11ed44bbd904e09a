"""A configuration with users, as a file for nodes that tests start."""

from __future__ import annotations

from pathlib import Path

PASSWORD = "0123456789"
HASHED_PASSWORD = "correct horse battery"
_HASH = "$2a$04$abcdefghijklmnopqrstuuqREtd3VJD2QVZbuFskFSLk6eRIrQoOS"
CI, SUBMIT, WATCH = (f"a-long-key-of-{name}-0123456789" for name in ("ci", "submit", "watch"))

FILE = f"""
API:
  TrustLocalUser: false
  Auth:
    Users:
      - {{Alias: ci, APIKey: {CI}, Capabilities: [{{Actions: ["read:job", "write:job"]}}]}}
      - {{Alias: submit, APIKey: {SUBMIT}, Capabilities: [{{Actions: ["write:job"]}}]}}
      - {{Alias: watch, APIKey: {WATCH}, Capabilities: [{{Actions: ["read:job"]}}]}}
      - {{Username: ron, Password: "{PASSWORD}", Capabilities: [{{Actions: ["read:*"]}}]}}
      - {{Username: bea, Password: "{_HASH}", Capabilities: [{{Actions: ["*"]}}]}}
"""


def users_file(directory: Path) -> Path:
    """Write a configuration with users that only its owner can read."""
    file = directory / "users.yaml"
    file.touch(0o600)
    file.write_text(FILE)
    return file
