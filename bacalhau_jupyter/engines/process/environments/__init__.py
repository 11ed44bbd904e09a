"""The Python environments that jobs may see: checked when one is registered, and again when one is shown."""

from bacalhau_jupyter.engines.process.environments.check import NotShown, Registered
from bacalhau_jupyter.engines.process.environments.forbidden import Forbidden
from bacalhau_jupyter.engines.process.environments.keeper import Environments
from bacalhau_jupyter.engines.process.environments.registry import Registry

__all__ = ["Environments", "Forbidden", "NotShown", "Registered", "Registry"]
