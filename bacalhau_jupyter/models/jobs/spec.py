"""What a task says: engine, inputs, outputs, resources, network, time limits."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.lib.masking import masked_variables
from bacalhau_jupyter.models.codec import Wire, always


class SpecConfig(Wire):
    """Type and parameters of an engine, source or publisher.

    ``params`` travel verbatim; their readers look names up without regard to case (`param`).
    """

    type: str = always("")
    params: dict[str, Any] = {}

    def is_type(self, *names: str) -> bool:
        """Whether the type is one of ``names``, ignoring case and surrounding spaces."""
        mine = self.type.strip().lower()
        return any(mine == name.lower() for name in names)

    def param(self, name: str, default: Any = None) -> Any:
        """Return the parameter of a name in any case, or ``default``."""
        return folded(self.params).get(name.lower(), default)

    @property
    def is_empty(self) -> bool:
        """Whether no type is set: "none" on the wire."""
        return not self.type.strip()


NO_SPEC = SpecConfig()
"""What stands where nothing was said; this very object, so that an empty mapping can be told apart."""


class InputSource(Wire):
    """One input: where it comes from and where the job sees it."""

    source: SpecConfig = always(NO_SPEC)
    alias: str = always("")
    target: str = always("")


class ResultPath(Wire):
    """One output directory: its name in the results and its path inside the job."""

    name: str = always("")
    path: str = always("")


class ResourcesConfig(Wire):
    """Resources as a person writes them: ``500m``, ``1gb``, ``2``. Empty means "the node's default"."""

    cpu: str = ""
    memory: str = ""
    disk: str = ""
    gpu: str = ""


class NetworkType(enum.Enum):
    """How a task may use the network."""

    DEFAULT = "Default"
    NONE = "None"
    HOST = "Host"
    HTTP = "HTTP"
    BRIDGE = "Bridge"

    @classmethod
    def _missing_(cls, value: object) -> NetworkType | None:
        text = str(value).lower()
        if text == "full":
            return cls.HOST
        return next((member for member in cls if member.value.lower() == text), None)


class Port(Wire):
    """A port that a task needs: a fixed (``static``) or dynamic host port, mapped to ``target``."""

    name: str = always("")
    static: int = 0
    target: int = 0
    host_network: str = ""


class NetworkConfig(Wire):
    """Network type with its domains (HTTP only) and ports (Host and Bridge only)."""

    type: NetworkType = always(NetworkType.DEFAULT)
    domains: list[str] = []
    ports: list[Port] = []


class Timeouts(Wire):
    """Time limits in seconds; 0 means none."""

    execution_timeout: int = 0
    queue_timeout: int = 0
    total_timeout: int = 0


class Task(Wire):
    """The one task of a job."""

    name: str = always("")
    engine: SpecConfig = always(NO_SPEC)
    publisher: SpecConfig = always(SpecConfig())
    env: dict[str, str] = {}
    meta: dict[str, str] = {}
    input_sources: list[InputSource] = []
    result_paths: list[ResultPath] = []
    # An absent member and an empty object differ on the wire: the shared default stays unwritten, a value
    # that was given (even an empty one) is written again.
    resources: ResourcesConfig = ResourcesConfig()
    network: NetworkConfig = NetworkConfig()
    timeouts: Timeouts = Timeouts()

    def __repr__(self) -> str:
        # A notebook shows it, and keeps what it shows.
        shown = masked_variables(self.env)
        return super().__repr__() if shown == self.env else repr(replace(self, env=shown))


class Constraint(Wire):
    """A node selector: key, operator (``= == != in notin exists ! gt lt``), values."""

    key: str = always("")
    operator: str = always("")
    values: list[str] = []


replace = msgspec.structs.replace
"""Copy a model with some members changed."""
