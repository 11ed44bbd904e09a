"""Packages that a job asks for: they are resolved when it is submitted, for the Python that it runs with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bacalhau_jupyter.client.packages.requirements import Required, combined, parse, with_builds
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig

PENDING = "packages"
"""Type of an input whose packages are not resolved yet; no node knows it."""

PLACES = {"process": "/inputs/.packages"}
_PLACE = "/.packages"
"""Where a job finds them: beside the kit of a Python body. A container can't mount inside a read-only ``/inputs``."""


Say = Callable[[str], None]
"""Receives the progress, in a few words."""


def nothing_said(_text: str) -> None:
    """Take no notice."""


class PendingPackages(InputSource, frozen=True, kw_only=True, dict=True):
    """An input that becomes packages when its job is submitted."""

    @property
    def required(self) -> Sequence[Required]:
        """What is asked for."""
        required: Sequence[Required] = self.__dict__["required"]
        return required

    @property
    def python(self) -> str:
        """The interpreter of this machine that will import them; empty for that of the job's engine."""
        python: str = self.__dict__["python"]
        return python


def place_of(engine: str) -> str:
    """Return where a job of an engine finds its packages."""
    return PLACES.get(engine.lower(), _PLACE)


def pending_packages(
    pip: Sequence[str | Required], engine: str, *, no_binary: Sequence[str] = (), python: str = ""
) -> PendingPackages:
    """Return an input for packages, of which some are built from source inside a job.

    Raises
    ------
    BacalhauError
        A text is not a requirement, or the library that reads requirements is not installed.
    """
    parsed = [each for each in pip if isinstance(each, Required)]
    required = combined(parsed, parse(each for each in pip if isinstance(each, str)))
    required = with_builds(required, no_binary)
    built = [each.name for each in required if each.is_built]
    made = PendingPackages(
        source=SpecConfig(
            type=PENDING,
            params={"Packages": [each.text for each in required], **({"NoBinary": built} if built else {})},
        ),
        alias="packages",
        target=place_of(engine),
    )
    made.__dict__.update(required=required, python=python)
    return made
