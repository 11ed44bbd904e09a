from __future__ import annotations

from tests.services.official_orchestrator import official_orchestrator

__all__ = ["official_orchestrator"]
