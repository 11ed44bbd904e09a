"""Page tokens: opaque text that says where the next page begins."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from bacalhau_jupyter.models.errors import BadRequest


class JobToken(msgspec.Struct, frozen=True, array_like=True, tag="j"):
    """Next page of a job list: order, direction, page size, and the last row of the page before."""

    column: str
    reverse: bool
    limit: int
    value: int
    job_id: str


class HistoryToken(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """Next page of a history: the last sequence number seen, and the page size."""

    after: int
    limit: int


Token = TypeVar("Token", JobToken, HistoryToken)


def write_token(token: JobToken | HistoryToken) -> str:
    """Encode a token as base64url without padding."""
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).rstrip(b"=").decode()


def read_token(text: str, kind: type[Token]) -> Token:
    """Decode a token.

    Raises
    ------
    BadRequest
        It is not one of ours.
    """
    try:
        raw = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise BadRequest(f"invalid next_token: {text!r}", component="APIServer") from error
