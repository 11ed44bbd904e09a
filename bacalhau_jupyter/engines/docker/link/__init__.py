"""The way to a Docker Engine on another machine, or behind another socket: opened, watched, and opened again.

===================  ===========================================================================================
`target.py`          where a host is, as a person wrote it
`fault.py`           what can be wrong with a way
`machine.py`         when to open a way, when to wait, and how its state is told (pure)
`keeper.py`          carries that out for any way
`ssh.py`             a way through one ssh process; `command.py` has its words, `words.py` reads what it says
`plain.py`           a way to a socket or a TCP port of an engine
`bridge.py`          connections through ``docker system dial-stdio`` where an ssh server forwards no sockets
`known_hosts.py`     which keys of hosts are trusted
`step.py`            tries a way step by step, for people
===================  ===========================================================================================
"""

from __future__ import annotations

COMPONENT = "DockerHost"
"""Named in the errors of this room (`models.errors`)."""
