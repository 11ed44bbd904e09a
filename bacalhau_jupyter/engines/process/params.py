"""``Params`` of the process engine on the wire."""

from __future__ import annotations

from bacalhau_jupyter.models.codec import Wire, always, convert
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.environments import PythonDescription

ENGINE_TYPE = "process"


class PythonReference(Wire):
    """Which Python environment a job needs to see.

    Attributes
    ----------
    environment
        The name under which this node keeps it.
    executable, prefixes, paths
        How clients named one before; taken only where they describe an environment that the node keeps.
    stand_in
        The interpreter, as the command names it, for which a node that does not keep the environment takes its own
        Python; empty where no other Python will do.
    """

    environment: str = always("")
    executable: str = always("")
    prefixes: list[str] = always([])
    paths: list[str] = always([])
    stand_in: str = always("")

    @property
    def description(self) -> PythonDescription:
        """The names, for comparison with what is registered."""
        return PythonDescription(executable=self.executable, prefixes=self.prefixes, paths=self.paths)


class ProcessParams(Wire):
    """What to run. ``environment_variables`` are ``NAME=VALUE`` texts; an empty ``working_directory`` is ours."""

    command: list[str] = always([])
    environment_variables: list[str] = always([])
    working_directory: str = always("")
    python: PythonReference = always(PythonReference())


def read_params(engine: SpecConfig) -> ProcessParams:
    """Decode an engine spec's params, leniently.

    Raises
    ------
    BadRequest
        A member has the wrong type.
    """
    return convert(engine.params, ProcessParams, "Engine.Params")
