"""The way to a Docker Engine on another machine, or behind another socket: opened, watched, and opened again.

===================  ===========================================================================================
`target.py`          where a host is, as a person wrote it
`fault.py`           what can be wrong with a way
`machine.py`         when to open a way, when to wait, and how its state is told (pure)
`keeper.py`          carries that out for any way
`asking.py`          calls that tell whether an engine is there; `pulse.py` notices that it has gone
`ssh/`               the way through ssh
`plain.py`           the way to a socket or a TCP port of an engine
`step.py`            tries a way step by step, for people
===================  ===========================================================================================
"""

from __future__ import annotations

COMPONENT = "DockerHost"
"""Named in the errors of this room (`models.errors`)."""
