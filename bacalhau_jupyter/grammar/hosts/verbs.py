"""``host list|show|test|pause|resume|remove|push|clean``."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.hosts.group import call, call_shown, host
from bacalhau_jupyter.grammar.hosts.shown import host_details, hosts_table, remains_table, trial
from bacalhau_jupyter.grammar.output import Result, Text
from bacalhau_jupyter.models.records.host_orders import CleanHost, PushImage, RemoveHost
from bacalhau_jupyter.models.records.hosts import HostState

_name = click.argument("name", shell_complete=completing.hosts)


@host.command("list")
@print_options
def host_list(**show: Any) -> Result:
    """List Docker hosts as they were seen last; waits for none of them."""
    return hosts_table(call(lambda hosts: hosts.list()), wide=show["wide"])


@host.command("show")
@_name
@print_options
def host_show(name: str, **show: Any) -> Result:
    """Show everything about a host: the way there, the machine, and what else runs on it."""
    return host_details(call(lambda hosts: hosts.show(name)))


@host.command("test")
@_name
@print_options
def host_test(name: str, **show: Any) -> Result:
    """Try the way to a host step by step, and say what helps where one fails."""
    return trial(call(lambda hosts: hosts.test(name), doing=f"trying host {name} …"))


@host.command("pause")
@_name
def host_pause(name: str) -> Result:
    """Let a host take no new jobs; those that run there go on."""
    paused = call(lambda hosts: hosts.pause(name))
    there = "a job goes on" if paused.executions == 1 else f"{paused.executions} jobs go on"
    rest = f"; {there} there" if paused.executions else ""
    return Text(f"Host {paused.name} takes no new jobs{rest}.")


@host.command("resume")
@_name
def host_resume(name: str) -> Result:
    """Let a host take jobs again."""
    resumed = call(lambda hosts: hosts.resume(name))
    if resumed.state is HostState.READY:
        return Text(f"Host {resumed.name} takes jobs again.")
    return Text(
        f"Host {resumed.name} takes jobs as soon as it answers: {resumed.problem or 'it is being connected'}."
    )


@host.command("remove")
@_name
@click.option(
    "--jobs",
    type=click.Choice(["wait", "cancel", "leave"]),
    default=None,
    help="What becomes of jobs that run there: wait for them, cancel them, or leave them to themselves.",
)
def host_remove(name: str, jobs: str | None) -> Result:
    """Let a host run no more jobs."""
    record = call(lambda hosts: hosts.remove(name, RemoveHost(jobs=jobs or "")))
    if jobs == "wait" and record.executions:
        jobs_there = "job has" if record.executions == 1 else f"{record.executions} jobs have"
        return Text(f"Host {record.name} is removed when its {jobs_there} ended.")
    return Text(f"Host {record.name} was removed.")


@host.command("push")
@_name
@click.argument("image", shell_complete=completing.images)
def host_push(name: str, image: str) -> Result:
    """Copy an image of this machine's Docker Engine to a host; what it has already is not sent again.

    Ctrl-C ends the copy; nothing of it is left there.
    """
    record = call_shown(
        lambda hosts, progress: hosts.push(name, PushImage(image=image), progress),
        doing=f"copying {image} to host {name} …",
        stop=lambda hosts: hosts.stop_push(name),
    )
    return Text(f"Image {image} is on host {record.name}.")


@host.command("clean")
@_name
@click.option(
    "--remove",
    "nodes",
    multiple=True,
    metavar="NODE",
    help="Remove what this node left there (ID as listed with --wide).",
)
@click.option("--force", is_flag=True, help="Also while containers of that node run: it may be alive.")
@print_options
def host_clean(name: str, nodes: tuple[str, ...], force: bool, **show: Any) -> Result:
    """List what nodes have on a host: containers and volumes, whose they are; remove what a dead node left."""
    order = CleanHost(remove=list(nodes), force=force)
    return remains_table(call(lambda hosts: hosts.clean(name, order)), name, wide=show["wide"])
