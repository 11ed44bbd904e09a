"""The supervisor of one execution: a small process of ours that outlives the node.

It starts the confined program, writes the log frames, holds the time-out, ends the whole tree, and leaves an exit
record. It depends on no other process: after a restart the node finds it by its lock file, pid and start time.
It is forked off the `forkserver`, or run as ``python -I -S -c … PLAN`` (`spawn`); its modules are chosen for a start of
about ten milliseconds.
"""

from __future__ import annotations

import errno
import marshal
import os
import select
import sys
import time

from bacalhau_jupyter.engines.supervised.supervisor import confine
from bacalhau_jupyter.engines.supervised.supervisor import exit_record as record
from bacalhau_jupyter.engines.supervised.supervisor import process_tree as tree
from bacalhau_jupyter.engines.supervised.supervisor.node_watch import Node
from bacalhau_jupyter.engines.supervised.supervisor.relay import Relay
from bacalhau_jupyter.engines.supervised.supervisor.ways import ways

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from bacalhau_jupyter.engines.supervised.supervisor.limits.disk import Disk
    from bacalhau_jupyter.engines.supervised.supervisor.limits.group import Group
    from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan
else:
    import _signal  # `signal` itself imports enum: five milliseconds

LOCK_FD = 3
"""Where the node put the locked descriptor; as long as it is open, the execution counts as alive."""

_ENDING_STEP_S = 0.02
"""How often the signals are repeated while the tree is going down."""


class Supervisor:
    """One execution from its start to its exit record."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.ways = ways(plan, LOCK_FD)
        self.relay = Relay(plan, self._log_failed)
        self.reason = ""
        self.error = ""
        self.main = -1
        self.status = 0
        self.main_ended = False
        self.ended = False
        self.timeout_at = 0.0
        self.polite_until = 0.0
        self.asked: set[int] = set()
        self.reported = -1
        self.report = b""
        self.holder = -1
        self.node: Node | None = None
        self.group: Group | None = None
        self.disk: Disk | None = None
        self.wake, wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_write, False)
        _signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGCHLD):
            _signal.signal(number, lambda *_: None)
        _signal.signal(_signal.SIGHUP, _signal.SIG_IGN)

    # --- start ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the program; what can't be started is the execution's error."""
        self.oom_kills = self.ways.oom_kills()
        try:
            pinned = self._open_pinned()
        except Exception as reason:  # whatever it is, nothing may be shown then
            self._fail(f"the job could not be confined: this node {reason}")
            return
        if self.plan["group"] and not self._make_group():
            return
        if self.plan["disk"]:
            from bacalhau_jupyter.engines.supervised.supervisor.limits.disk import Disk

            self.disk = Disk(self.plan["disk"], self.plan["disk_places"], plain=self.plan["plain"])
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        failure_read, failure_write = os.pipe()
        if self.plan["prints_as"] >= 0:
            for pipe in (out_write, err_write):
                os.fchown(pipe, self.plan["prints_as"], -1)
        for pipe in (out_read, err_read):
            os.set_blocking(pipe, False)
            self.ways.widen(pipe)
        files = [os.open(path, os.O_RDONLY) for path in self.plan["sandbox_files"]]
        if self.plan["status"] or self.plan["runner"]:
            self.reported, status_write = os.pipe()
            files.append(status_write)
        files += [*pinned, *self.ways.files()]
        gate = -1
        if self.plan["holder"]:
            gate_read, gate = os.pipe()
            files.append(gate_read)
        started = time.monotonic()
        # A signal to the child before it has its own handling would end up in our wake-up pipe.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, confine.POLITE)
        self.main = os.fork()
        if self.main == 0:
            confine.execute(
                self.plan,
                out_write,
                err_write,
                files,
                failure_write,
                self.group.entrance if self.group else -1,
            )
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, confine.POLITE)
        self.ways.has_started(self.main)
        for each in (out_write, err_write, failure_write, *files):
            os.close(each)
        if self.group:
            self.group.entered()
        self.relay.begin(out_read, err_read)
        self.timeout_at = started + self.plan["timeout_s"] if self.plan["timeout_s"] else 0.0
        failed = os.read(failure_read, 4096)
        os.close(failure_read)
        if failed:
            step, _, rest = failed.decode(errors="replace").partition("\n")
            code, _, text = rest.partition("\n")
            self._fail(record.start_error(self.plan, step, int(code), text))
        elif gate >= 0:
            self._give_network()
        if gate >= 0:
            os.close(gate)

    def _make_group(self) -> bool:
        """Make the job's control group; where that fails, the job does not start: its limits would be missing."""
        from bacalhau_jupyter.engines.supervised.supervisor.limits.group import Group

        try:
            self.group = Group(self.plan["group"], self.plan["group_settings"])
        except OSError as error:
            self._fail(f"the job could not be limited: its control group can't be made: {error}")
        return self.group is not None

    def _give_network(self) -> None:
        """Start the holder in the job's network while the job waits; if that fails, the job does not start."""
        from bacalhau_jupyter.engines.supervised.supervisor import holding

        self.report = holding.read_child(self.reported)
        try:
            self.holder = holding.hold(self.plan, self.report)
        except (OSError, holding.NoNetwork) as error:
            self._kill()
            self._fail(f"the job's network could not be made: {error}")

    def _open_pinned(self) -> list[int]:
        """Open what is shown by its descriptor: at the last moment, so that it is what was checked."""
        if not self.plan["pinned"]:
            return []
        from bacalhau_jupyter.engines.supervised.confinement.pinned import open_pinned

        confine.make_room(len(self.plan["pinned"]))
        return [open_pinned(*each) for each in self.plan["pinned"]]

    # --- the loop -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Relay output and hold the limits until nothing of the execution is left."""
        self.node = Node(self.plan["node_file"], self.plan["grace_s"])
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        self.relay.watch(poll)
        if self.disk:
            poll.register(self.disk.report, select.POLLIN)
        watched = -1
        if os.access(self.plan["cancel_file"], os.F_OK):
            self.stop("cancelled")
        self._reap()
        while not self.ended or self.relay.is_open:
            if self.node.watch != watched:
                if watched >= 0:
                    poll.unregister(watched)
                watched = self.node.watch
                if watched >= 0:
                    poll.register(watched, select.POLLIN)
            for ready, _ in poll.poll(self._wait_ms()):
                if ready == self.wake:
                    self._on_signal()
                elif self.relay.has(ready):
                    self.relay.pass_on(ready)
                elif self.node.watch == ready:
                    self.node.gone()
                elif self.disk and self.disk.heard() > self.disk.limit:
                    self._over_disk()
            self._check_times()
            if self.ended:  # no writer is left: what the pipes hold is all there is
                self.relay.drain()

    def _wait_ms(self) -> int:
        times = [at for at in (self.timeout_at, self.polite_until) if at]
        if self.node and (at := self.node.look_again_at):
            times.append(at)
        if self.disk and self._may_look() and (at := self.disk.look_at):
            times.append(at)
        if (self.main_ended and not self.ended) or self.polite_until:
            times.append(time.monotonic() + _ENDING_STEP_S)
        return -1 if not times else max(0, int((min(times) - time.monotonic()) * 1000) + 1)

    def _on_signal(self) -> None:
        numbers = os.read(self.wake, 512)
        if _signal.SIGTERM in numbers or _signal.SIGINT in numbers:
            self.stop("cancelled")
        self._reap()

    def _check_times(self) -> None:
        now = time.monotonic()
        if self.timeout_at and now >= self.timeout_at:
            self.timeout_at = 0.0
            self.stop("timed out")
        if self.polite_until and now >= self.polite_until:
            self.polite_until = 0.0
            self._kill()
        elif self.polite_until and not self.main_ended:
            self._ask()
        if self.node and self.node.look_again_at and now >= self.node.look_again_at and not self.node.look():
            self.error = f"no node supervised the execution for {self.plan['grace_s']:g} s"
            self.stop("error")
        if self.disk and self._may_look() and 0 < self.disk.look_at <= now:
            self.disk.look(self.ways.below())
        if self.main_ended and not self.ended:
            self._reap()
            if not self.ended:
                self._kill()

    def _log_failed(self, error: str) -> None:
        if not self.error:
            self.reason, self.error = "error", error
            self._kill()

    def _may_look(self) -> bool:
        """Whether the job still runs, and nothing has ended it."""
        return not (self.main_ended or self.reason)

    def _over_disk(self) -> None:
        if self._may_look():
            self.reason, self.error = record.OVER_DISK, str(self.plan["disk"])
            self._kill()

    # --- ending ---------------------------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """Ask the job to end, and make it after the grace; the first reason counts."""
        if not self.reason and not self.main_ended:
            self.reason = reason
            # bubblewrap's own process must not take the namespace down before the job had its chance.
            self.asked = {self.main} if self.plan["status"] else set()
            if self.holder >= 0:
                self.asked.add(self.holder)
            self.polite_until = time.monotonic() + self.plan["stop_grace_s"]
            self._ask()

    def _ask(self) -> None:
        """Send the polite signal to everybody, once: children that the job makes to tidy up are left alone.

        bubblewrap may still be on its way to the job; its own two processes don't count.
        """
        if self.plan["stop_signal"]:
            self._ask_first(self.plan["stop_signal"])
            return
        if len(self.asked) > (2 if self.plan["status"] else 0) + (self.holder >= 0):
            return
        looker = self.disk.looker if self.disk else -1
        fresh = [pid for pid in self.ways.below() if pid not in self.asked and pid != looker]
        self.asked.update(fresh)
        tree.signal_all(fresh, _signal.SIGTERM)

    def _ask_first(self, number: int) -> None:
        """Send the image's own signal to the job's first process, once, as soon as it listens; nobody else knows it."""
        first = tree.descendants(self.main)[:1]
        if not self.asked.issuperset(first) and tree.listens(first[0], number):
            self.asked.update(first)
            tree.signal_all(first, number)

    def _kill(self) -> None:
        self.ways.kill()
        if self.group:
            self.group.kill()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.ended = self.main_ended = True
                return
            if pid == 0:
                return
            if pid == self.main:
                self.main_ended, self.status = True, status
                self.ways.has_ended()
            elif self.disk and pid == self.disk.looker:
                self.disk.ended()

    def _fail(self, error: str) -> None:
        self.reason, self.error = "error", error

    # --- the record -----------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Settle the results, write the exit record, end the log."""
        code = os.waitstatus_to_exitcode(self.status)
        code = 128 - code if code < 0 else code
        if self.group:
            # The kernel kills the whole group, bubblewrap with it.
            if code == 137 and not self.reason and self.group.ran_out_of_memory():
                self.reason, self.error = (
                    record.OVER_MEMORY,
                    str(max(0, self.group.memory - self.plan["memory_besides"])),
                )
            self.group.remove()
        if self.plan["status"] and not self.reason:
            report = self.report + os.read(self.reported, 65536)
            if b'"exit-code"' not in report:
                self._fail("the sandbox could not be set up (its message is the end of stderr)")
        if self.plan["runner"] and not self.reason:
            said = os.read(self.reported, 65536)
            self.reason, code, self.error = record.reported(said, code)
        if not self.reason:
            killed = code == 137 and self.ways.oom_kills() > self.oom_kills
            self.reason = "out of memory" if killed else "exited"
        if self.disk and self.reason == "exited" and self._took_too_much(self.disk, code):
            self.reason, self.error = record.OVER_DISK, str(self.disk.limit)
        lost = b""
        if self.plan["moves"] or self.plan["owned"] or self.plan["user"] >= 0:
            from bacalhau_jupyter.engines.supervised.supervisor import result_moves as settle

            try:
                lost = settle.settle(self.plan)
            except OSError as error:
                if self.reason == "exited":
                    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                    problem = "no space left on the disk" if full else (error.strerror or str(error))
                    self._fail(f"the results could not be stored: {problem}")
                    self.reason = record.UNSTORED
        record.write_record(self.plan["record"], self.reason, code, self.error)
        try:
            self.relay.end(lost, has_failed=self.reason == "exited" and code != 0)
        except OSError:
            return  # the disk is full; the node ends the log when it reads the record

    def _took_too_much(self, disk: Disk, code: int) -> bool:
        """Whether the job took more than it may since the last look; a full file's writer is killed, or fails."""
        total = disk.last_look()
        return total > disk.limit or (code != 0 and total >= disk.limit)


def main() -> None:
    """Supervise the execution whose plan is the last argument."""
    supervise(sys.argv[-1])


def supervise(path: str) -> None:
    """Supervise the execution whose plan is in this file; never returns."""
    os.set_inheritable(LOCK_FD, False)
    os.closerange(LOCK_FD + 1, 4096)  # whatever a library of the node forgot to mark
    os.chdir("/")
    with open(path, "rb") as file:  # noqa: PTH123
        plan: Plan = marshal.load(file)
    supervisor = Supervisor(plan)
    supervisor.ways.begin()
    with open(plan["pid_file"] + ".new", "wb") as file:  # noqa: PTH123
        file.write(f"{os.getpid()} {supervisor.ways.started}\n".encode())
    os.rename(plan["pid_file"] + ".new", plan["pid_file"])  # noqa: PTH104
    try:
        supervisor.start()
        supervisor.run()
    except Exception as error:
        supervisor.ways.kill()
        supervisor.reason, supervisor.error = (
            "error",
            f"the supervisor failed: {type(error).__name__}: {error}",
        )
    supervisor.finish()
    os._exit(0)
