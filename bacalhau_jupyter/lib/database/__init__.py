"""SQLite databases: functions go in, and come back once they are on disk."""

from __future__ import annotations

from bacalhau_jupyter.lib.database.connection import DatabaseError, Migration
from bacalhau_jupyter.lib.database.database import Database

__all__ = ["Database", "DatabaseError", "Migration"]
