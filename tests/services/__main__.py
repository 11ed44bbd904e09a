"""Keep the services up for a whole run: ``python -m tests.services up|down|status``.

``up`` prints ``started`` or ``found``; whoever reads ``started`` calls ``down`` at the end.
"""

from __future__ import annotations

import sys

from tests.services import docker_engine
from tests.services.common import ServiceUnavailableError


def main(arguments: list[str]) -> int:
    """Run one verb; 0 when it did what it says, 1 when there is no engine, 2 for an unknown verb."""
    verb = arguments[0] if len(arguments) == 1 else ""
    if verb == "up":
        try:
            engine = docker_engine.obtain()
        except ServiceUnavailableError as error:
            sys.stderr.write(f"tests: {error}\n")
            return 1
        sys.stdout.write("started\n" if engine.started else "found\n")
        return 0
    if verb == "down":
        docker_engine.stop()
        return 0
    if verb == "status":
        address = docker_engine.find()
        sys.stdout.write(f"docker {address or 'no engine answers'}\n")
        return 0 if address else 1
    sys.stderr.write("usage: python -m tests.services up|down|status\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
