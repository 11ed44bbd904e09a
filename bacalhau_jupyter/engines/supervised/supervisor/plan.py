"""The node's instructions for a supervisor: plain data, written with `marshal` (both run the same interpreter).

`marshal` needs no import, where `json` would cost a third of the supervisor's start.
"""

from __future__ import annotations

from typing import Any, TypedDict


class OutputMove(TypedDict):
    """Where the job wrote (``source``) and where the results belong (``target``), when that is not the same."""

    source: str
    target: str


class ImageRoot(TypedDict):
    """A file tree over which bubblewrap builds the job's: mounted before bubblewrap starts (`image_root`).

    Attributes
    ----------
    tree
        The image's, which stays as it is.
    directory
        Holds what the job writes: ``upper`` and ``work``, and ``lower`` to mount the tree on.
    first_id
        What the image's user 0 is on this host; -1 where the job is the node's own user.
    owner
        The job's uid, to which its users belong; -1 as above.
    view
        A directory of this host that is covered, inside, by what bubblewrap finds: ``image``, and ``0``, ``1``, …
    mounts
        What is shown at those numbers: path, device, inode, and whether the job writes there.
    """

    tree: str
    directory: str
    first_id: int
    owner: int
    view: str
    mounts: list[tuple[str, int, int, bool]]


class Plan(TypedDict):
    """Everything a supervisor does for one execution.

    Attributes
    ----------
    execution
        Its ID.
    argv, env, cwd
        What to execute first: the job itself, or a sandbox around it.
    out, record, pid_file, cancel_file, node_file
        The log file, the exit record, the supervisor's own identity, the marker of a cancellation, and the file
        that names the node which looks after the execution.
    log_limit
        Bytes of each stream that go to the log file.
    timeout_s, grace_s, stop_grace_s
        Seconds until the task is ended (0: never), until it is ended when no node looks after it, and between the
        polite and the hard signal.
    limits
        Pairs of a resource number and its value, for ``setrlimit``.
    group, group_settings
        The control group that is made for the job ("" for none), and what is written to its files.
    processes
        How many processes and threads each user of the job may have in the job's own user namespace; 0 where that
        limits nothing, or ``limits`` do.
    disk, disk_places
        Bytes that the job may take on the disk (0: no limit), and the directories where that is looked at.
    stop_signal
        What the job's first process alone is sent when the job is to end; 0: everybody is sent SIGTERM.
    user
        The uid and gid to become, or -1.
    prints_as
        The uid that the job prints as, or -1 for the supervisor's: ``/dev/stdout`` is opened by it.
    landlock_abi, rules, network, filter
        The confinement that the child applies to itself (restricted tier); ABI 0 for none.
    sandbox_files
        Paths whose open descriptors the child gets as 3, 4, …
    status
        Whether the child gets a pipe, after ``sandbox_files``, on which bubblewrap reports that the job ran.
    pinned
        Path, device and inode of what is shown by its descriptor, opened without following a link and refused when
        it is something else by now. The child gets the descriptors after all others; a rule names one as
        ``/proc/self/fd/N``.
    holder, door, proxy_port
        For a network of type ``HTTP``: the program that is started in the job's network, the directory where the node
        waits for it, and where it listens. The job gets a pipe after all other descriptors, and waits until it is
        closed. An empty program for every other network.
    runner, work
        A module of ours whose `prepare` is called in the child, instead of executing ``argv``, and what it is told;
        "" for none. It gets a pipe, after ``sandbox_files``, on which it reports how its work ended (`exit_record`).
    plain
        Whether only what every Unix has is used to look after the execution (`plain`), with a runner only. ``argv``
        is then the program that calls it.
    memory_besides
        Bytes that the runner itself may take, beside the memory of the job.
    image
        What has to be mounted before bubblewrap starts; None for jobs without an image.
    moves, owned
        Result directories to move, and directories whose content is given back to the node's user.
    advice
        A sentence for a program that failed for want of what the tier can't give; "" for none.
    """

    execution: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    out: str
    log_limit: int
    record: str
    pid_file: str
    cancel_file: str
    node_file: str
    timeout_s: float
    grace_s: float
    stop_grace_s: float
    limits: list[tuple[int, int]]
    group: str
    group_settings: list[tuple[str, str]]
    processes: int
    disk: int
    disk_places: list[str]
    stop_signal: int
    user: int
    prints_as: int
    landlock_abi: int
    rules: list[tuple[str, int]]
    network: bool
    filter: bytes
    sandbox_files: list[str]
    status: bool
    pinned: list[tuple[str, int, int]]
    moves: list[OutputMove]
    owned: list[str]
    advice: str
    image: ImageRoot | None
    holder: bytes
    door: str
    proxy_port: int
    runner: str
    work: dict[str, Any]
    plain: bool
    memory_besides: int
