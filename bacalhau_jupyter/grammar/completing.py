"""What TAB offers for values: jobs, nodes, images, namespaces, contexts, inputs. The shell and the notebook share it.

Each function has the form that click wants for ``shell_complete``. A cluster that does not answer at once offers
nothing, and no node is started.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from bacalhau_jupyter.grammar.lookups import lookups_of
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.hosts import LABEL
from bacalhau_jupyter.models.text import readable

if TYPE_CHECKING:
    from bacalhau_jupyter.models.records.node import NodeState

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

PROFILE: ContextVar[str | None] = ContextVar("PROFILE", default=None)
"""Saved connection that the line names, where click does not tell: while a flag before the cursor lacks its value."""

_PLAIN = re.compile(r"[\w@%+=:,./{}-]*")
"""Words that no shell takes apart."""

JOB_LIMIT = 50
ENTRY_LIMIT = 200

_PUBLISHERS = {
    "local": "keep results on the node",
    "s3://": "a bucket: s3://bucket/results/{jobID}",
    "s3managed": "the orchestrator's bucket, or its disk",
    "ipfs": "pin results on IPFS",
}
_INPUTS = {
    "s3://": "objects of a bucket",
    "https://": "a download",
    "ipfs://": "content by CID",
    "file://": "a path of the node",
    "job:": "the result of a job",
}
_BROWSED = ("s3://", "ipfs://", "file://")


def _harmless(offer: Completion) -> Completion:
    """Leave out words that could do harm: names in a cluster or bucket are other people's.

    A shell puts a word into its line as it is, so that ``;`` would end the command. The notebook quotes words.
    """

    @functools.wraps(offer)
    def harmless(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        is_quoted = getattr(context.find_root().obj, "quotes_words", False)
        return [
            item
            for item in offer(context, param, incomplete)
            if item.type != "plain" or (is_visible(item.value) if is_quoted else _PLAIN.fullmatch(item.value))
        ]

    return harmless


def is_visible(text: str) -> bool:
    """Whether a text has no line break and nothing that is invisible."""
    return readable(text) == text


@_harmless
def jobs(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer recent jobs by ID, with name and state."""
    return [
        CompletionItem(short_id(job.id), help=_job_words(job))
        for job in _jobs(context)
        if short_id(job.id).startswith(incomplete) or job.id == incomplete
    ]


@_harmless
def nodes(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer nodes by ID, with type and connection."""
    return [
        CompletionItem(node.info.node_id, help=f"{node.info.node_type.value} · {node.connection.value}")
        for node in _nodes(context)
        if node.info.node_id.startswith(incomplete)
    ]


@_harmless
def constraints(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer labels of nodes."""
    labels = {f"{key}={value}" for node in _nodes(context) for key, value in (node.info.labels or {}).items()}
    return _starting(sorted(labels), incomplete, "label of a node")


@_harmless
def hosts(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer Docker hosts by name."""
    names = {node.info.labels.get(LABEL, "") for node in _nodes(context)} - {""}
    return _starting(sorted(names), incomplete, "Docker host")


@_harmless
def namespaces(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer namespaces of recent jobs."""
    names = dict.fromkeys(["default", *(job.namespace for job in _jobs(context) if job.namespace)])
    return _starting(names, incomplete, "namespace")


@_harmless
def images(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer images of recent jobs."""
    params = [task.engine.params.get("Image") for job in _jobs(context) for task in job.tasks]
    names = dict.fromkeys(name for name in params if isinstance(name, str))
    return _starting(names, incomplete, "image of an earlier job")


@_harmless
def contexts(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer saved connections."""
    from bacalhau_jupyter.config.profiles import ProfileStore
    from bacalhau_jupyter.config.repo import Repo

    return _starting(ProfileStore(Repo.locate().profiles_dir).names(), incomplete, "saved connection")


@_harmless
def environment(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer variables of the environment by name, to be passed on."""
    return _starting(sorted(os.environ), incomplete, "pass it on") if incomplete else []


def variables(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the notebook's variables."""
    names: dict[str, str] = getattr(context.find_root().obj, "variables", dict)()
    return [CompletionItem(name, help=kind) for name, kind in names.items() if name.startswith(incomplete)]


@_harmless
def publishers(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer publishers, and places in buckets."""
    if incomplete.startswith("s3://"):
        return [item for item in _browsed(context, incomplete) if item.value.endswith("/")]
    return _described(_PUBLISHERS, incomplete)


@_harmless
def inputs(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer files here, jobs, and what the node can read from buckets, shared paths and IPFS."""
    if incomplete.startswith("job:"):
        found_jobs = jobs(context, param, incomplete.removeprefix("job:"))
        return [CompletionItem(f"job:{item.value}", help=item.help) for item in found_jobs]
    if incomplete.startswith(_BROWSED):
        return _browsed(context, incomplete)
    return [*_described(_INPUTS, incomplete), CompletionItem(incomplete, type="file")]


@_harmless
def parameters(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the parameters of the notebook that was named before."""
    from bacalhau_jupyter.client.notebooks.files import read_notebook
    from bacalhau_jupyter.client.notebooks.parameters import parameters_of

    # While a flag lacks its value, click leaves the arguments as they are.
    file = context.params.get("notebook") or next(
        (word for word in context.args if word.endswith(".ipynb")), ""
    )
    try:
        document = read_notebook(Path(file).read_bytes().decode(), file) if file else {"cells": []}
    except (OSError, UnicodeError, BacalhauError):
        return []
    return [
        CompletionItem(f"{name}=", help=f"now {value}" if value else "parameter")
        for name, value in parameters_of(document["cells"]).items()
        if name.startswith(incomplete)
    ]


def verbs(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer commands, for ``help``."""
    described = context.find_root()
    for word in context.params.get("words") or ():
        group = described.command
        command = group.get_command(described, word) if isinstance(group, click.Group) else None
        if command is None:
            return []
        described = click.Context(command, info_name=word, parent=described)
    group = described.command
    return click.Group.shell_complete(group, described, incomplete) if isinstance(group, click.Group) else []


def _browsed(context: click.Context, uri: str) -> list[CompletionItem]:
    """Return what lies in the directory of an address (or the places of its scheme)."""
    scheme, _, path = uri.partition("://")
    # In -i a percent sign is escaped; the node names things as they are.
    parent = uri[: uri.rindex("/") + 1].replace("%25", "%") if "/" in path else ""
    page = _ask(context, f"data {parent}", lambda api: api.data(parent, limit=ENTRY_LIMIT))
    items = []
    for entry in (page.entries if page is not None else None) or []:
        is_folder = entry.kind == "directory"
        address = entry.uri.replace("%", "%25")
        value = f"{address.rstrip('/')}/" if is_folder else address
        if value.startswith(uri) and value.startswith(f"{scheme}://"):
            items.append(
                CompletionItem(value, help="directory" if is_folder else format_bytes(entry.size or 0))
            )
    return items


def _jobs(context: click.Context) -> list[Job]:
    page = _ask(
        context, "jobs", lambda api: api.list_jobs(limit=JOB_LIMIT, order_by="created_at", reverse=True)
    )
    return list(page.items or []) if page is not None else []


def _nodes(context: click.Context) -> list[NodeState]:
    page = _ask(context, "nodes", lambda api: api.nodes())
    return list(page.nodes or []) if page is not None else []


def _ask(context: click.Context, name: str, question: Any) -> Any:
    root = context.find_root()
    profile = context.params.get("context") or root.params.get("context") or PROFILE.get()
    return lookups_of(root.obj).ask(profile, name, question) if root.obj is not None else None


def _job_words(job: Job) -> str:
    from bacalhau_jupyter.grammar.views import state_words

    name = job.name if job.name and job.name != job.id else ""
    return readable(f"{name} · {state_words(job)}" if name else state_words(job))


def _starting(names: Iterable[str], incomplete: str, words: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=words) for name in names if name.startswith(incomplete)]


def _described(values: dict[str, str], incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(value, help=words) for value, words in values.items() if value.startswith(incomplete)
    ]
