"""How a program that is not our runner finds its packages: by ``PYTHONPATH``."""

from __future__ import annotations

from collections.abc import Mapping

from bacalhau_jupyter.client.bodies.program import has_runner
from bacalhau_jupyter.client.packages.pending import place_of
from bacalhau_jupyter.models.jobs.spec import SpecConfig

_NAME = "PYTHONPATH"


def with_import_path(engine: SpecConfig, env: Mapping[str, str]) -> tuple[SpecConfig, dict[str, str]]:
    """Return an engine and a job's environment by which Python finds the packages; our runner finds them itself."""
    if has_runner(engine.params):
        return engine, dict(env)
    # Relative for processes: without mounts, /inputs is only in the directory where they start.
    place = place_of(engine.type)
    place = place.lstrip("/") if engine.is_type("process") else place
    variables = [str(each) for each in engine.params.get("EnvironmentVariables") or ()]
    own = next((each for each in variables if each.startswith(f"{_NAME}=")), "").partition("=")[2]
    paths = [place, *(path for path in (env.get(_NAME, ""), own) if path)]
    return engine, {**env, _NAME: ":".join(paths)}


__all__ = ["with_import_path"]
