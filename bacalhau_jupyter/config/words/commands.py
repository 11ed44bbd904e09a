"""Verbs of the documents, and flags of clients."""

from __future__ import annotations

from bacalhau_jupyter.config.words.word import Kind, Standing, Word

_MOVED = {
    "get": "job get",
    "list": "job list",
    "describe": "job describe",
    "logs": "job logs",
    "cancel": "job stop",
    "create": "job run",
    "validate": "job validate",
}
"""Verbs that stood alone once."""

_SAME = (
    "agent alive",
    "agent node",
    "agent version",
    "config auto-resources",
    "config default",
    "config list",
    "config set",
    "devstack",
    "docker run",
    "id",
    "job describe",
    "job executions",
    "job get",
    "job history",
    "job list",
    "job logs",
    "job run",
    "job stop",
    "node approve",
    "node delete",
    "node describe",
    "node list",
    "node reject",
    "serve",
    "version",
    "wasm run",
    "wasm validate",
)

_NO_EXEC = "it made jobs of templates that the cluster kept; docker run, or a %%bacalhau cell, runs a program"

_NO_LICENSE = "nodes need no license"

VERBS: tuple[Word, ...] = (
    *(Word(Kind.VERB, name, Standing.WORKS) for name in _SAME),
    *(Word(Kind.VERB, name, Standing.RENAMED, modern) for name, modern in _MOVED.items()),
    *(Word(Kind.VERB, name, Standing.REPLACED, sentence=_NO_EXEC) for name in ("exec", "job exec")),
    *(
        Word(Kind.VERB, name, Standing.REPLACED, sentence=_NO_LICENSE)
        for name in ("license", "agent license")
    ),
)

_ALL = "jobs of every namespace are listed in any case; --limit 0 lists all of them"
_EVENTS = "what happened is shown in any case"

_JOBS = ("docker run", "wasm run")
_SUBMITS = (*_JOBS, "job run")
_CLIENTS = ("*",)

FLAGS: tuple[Word, ...] = (
    Word(Kind.FLAG, "--api-host", Standing.WORKS, where=_CLIENTS),
    Word(Kind.FLAG, "--api-port", Standing.WORKS, where=_CLIENTS),
    Word(Kind.FLAG, "--data-dir", Standing.WORKS, where=_CLIENTS),
    Word(Kind.FLAG, "--config", Standing.WORKS, where=_CLIENTS),
    Word(Kind.FLAG, "--profile", Standing.WORKS, where=_CLIENTS),
    Word(Kind.FLAG, "--ipfs-connect", Standing.WORKS, where=("serve",)),
    Word(Kind.FLAG, "--orchestrator", Standing.WORKS, where=("serve",), is_switch=True),
    Word(Kind.FLAG, "--compute", Standing.WORKS, where=("serve",), is_switch=True),
    Word(Kind.FLAG, "--input", Standing.WORKS, where=_JOBS),
    Word(Kind.FLAG, "--publisher", Standing.WORKS, where=_JOBS),
    Word(Kind.FLAG, "--timeout", Standing.WORKS, where=_JOBS),
    Word(Kind.FLAG, "--output-dir", Standing.WORKS, where=("job get", "get")),
    Word(Kind.FLAG, "--template-vars", Standing.WORKS, where=("job run", "create")),
    Word(Kind.FLAG, "--template-envs", Standing.WORKS, where=("job run", "create")),
    Word(Kind.FLAG, "--wait", Standing.WORKS, where=_SUBMITS, is_switch=True),
    Word(Kind.FLAG, "--id-only", Standing.WORKS, where=_SUBMITS, is_switch=True),
    Word(Kind.FLAG, "--number", Standing.RENAMED, "--limit", where=("list",)),
    Word(Kind.FLAG, "--sort-by", Standing.RENAMED, "--order-by", where=("list",)),
    Word(Kind.FLAG, "--include-tag", Standing.RENAMED, "--labels", where=("list",)),
    Word(Kind.FLAG, "--reverse", Standing.RENAMED, "--order-reversed", where=("list",), is_switch=True),
    Word(Kind.FLAG, "--all", Standing.REPLACED, sentence=_ALL, where=("list",), is_switch=True),
    Word(
        Kind.FLAG,
        "--include-events",
        Standing.REPLACED,
        sentence=_EVENTS,
        where=("describe",),
        is_switch=True,
    ),
    Word(Kind.FLAG, "--concurrency", Standing.RENAMED, "--count", where=_JOBS),
    Word(Kind.FLAG, "--selector", Standing.RENAMED, "--constraints", where=_JOBS),
)
