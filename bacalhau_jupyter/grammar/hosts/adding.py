"""``host add``: lets a Docker Engine of another machine run jobs of the connected node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bacalhau_jupyter.grammar.flags.options import listed, pairs
from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.hosts.group import call, host
from bacalhau_jupyter.grammar.hosts.shown import host_details, trial
from bacalhau_jupyter.grammar.output import Result
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig
from bacalhau_jupyter.models.records.host_orders import AddHost, SshSettings, TlsFiles


@host.command("add")
@click.argument("url", default="")
@click.option("--name", default="", help="What it is called (default: after its address).")
@click.option("-l", "--label", "labels", multiple=True, metavar="K=V", help="Label its node.")
@click.option(
    "--trust",
    default="",
    metavar="SHA256:…",
    help="Accept the key with this fingerprint, if it shows that one.",
)
@click.option(
    "--tls", default="", metavar="DIR", help="Directory with ca.pem, cert.pem and key.pem for tcp://."
)
@click.option("--context", "docker_context", default="", metavar="NAME", help="Take a Docker context.")
@click.option(
    "--socket", default="", metavar="PATH", help="The engine's socket there (default: found by looking)."
)
@click.option(
    "--ssh-option", "options", multiple=True, metavar="K=V", help="Set an option of ssh (Port=2222)."
)
@click.option("--cpu", default="", metavar="AMOUNT", help="CPU cores for jobs (16, 90%).")
@click.option("--memory", default="", metavar="AMOUNT", help="Memory for jobs (200Gi, 80%).")
@click.option("--disk", default="", metavar="AMOUNT", help="Disk for jobs (500Gi, 80%).")
@click.option("--gpu", default="", metavar="NUMBER", help="GPUs for jobs (2).")
@click.option(
    "--insecure", is_flag=True, help="Use tcp:// without TLS: whoever reaches that port is root there."
)
@click.option("--anyway", is_flag=True, help="Keep it although it can't be reached now.")
@click.option("--dry-run", is_flag=True, help="Only try the way there, step by step.")
@print_options
def host_add(url: str, dry_run: bool, **values: Any) -> Result:
    """Let the Docker Engine at URL run jobs: ssh://alice@gpu1, an alias of ssh, tcp://HOST:2376, unix:///PATH.

    Nothing is installed there: it needs Docker, and ssh with a key (or a certificate). It is tried first, and nothing
    is kept where that fails. Jobs get there by --host NAME, or wherever they fit.
    """
    order = _order(url, values)
    if dry_run:
        return trial(call(lambda hosts: hosts.try_out(order), doing=f"trying {url or order.context} …"))
    return host_details(
        call(lambda hosts: hosts.add(order), doing=f"trying {url or order.context} …"), is_new=True
    )


def _order(url: str, values: dict[str, Any]) -> AddHost:
    if bool(url) == bool(values["docker_context"]):
        raise BadRequest(
            "host add takes an address or a Docker context, not both"
            if url
            else "host add needs the address of a Docker host",
            hint="host add ssh://alice@gpu1, host add --context lab",
        )
    ssh = SshSettings(options=pairs(values["options"], "--ssh-option"), socket=values["socket"])
    return AddHost(
        name=values["name"],
        url=url,
        context=values["docker_context"],
        tls=_tls(values["tls"]),
        ssh=ssh if ssh != SshSettings() else None,
        labels=pairs(listed(values["labels"]), "--label"),
        allocated=ResourcesConfig(
            cpu=values["cpu"], memory=values["memory"], disk=values["disk"], gpu=values["gpu"]
        ),
        trust=values["trust"],
        insecure=values["insecure"],
        anyway=values["anyway"],
    )


def _tls(directory: str) -> TlsFiles | None:
    if not directory:
        return None
    try:
        # The node looks for relative ones beside its own file.
        path = Path(directory).expanduser().absolute()
    except RuntimeError as error:
        raise BadRequest(f"--tls: there is no home directory for {directory}") from error
    return TlsFiles(ca=str(path / "ca.pem"), cert=str(path / "cert.pem"), key=str(path / "key.pem"))
