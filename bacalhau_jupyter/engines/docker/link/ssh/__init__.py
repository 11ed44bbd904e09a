"""The way to a host through ssh.

===================  ===========================================================================================
`link.py`            the link: keeps a way open
`way.py`             one attempt: logs in, finds the engine's socket, lets it appear here
`command.py`         the words of ssh's command lines (pure)
`resolved.py`        what ssh makes of a target (pure)
`words.py`           what ssh says, in words for people (pure)
`probe.py`           where the engine's socket is on the host (pure)
`master.py`          the process that stays connected
`bridge.py`          connections through ``docker system dial-stdio`` where an ssh server forwards no sockets
`places.py`          where the sockets lie here
`known_hosts.py`     which keys of hosts are trusted
`diagnosis.py`       a closer look where ssh has not let us in
===================  ===========================================================================================
"""

from __future__ import annotations

from bacalhau_jupyter.engines.docker.link.ssh.link import SshLink

__all__ = ["SshLink"]
