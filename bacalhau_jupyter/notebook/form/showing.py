"""From a job to the form's fields, and what no field shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.selector import describe
from bacalhau_jupyter.models.jobs.spec import Port, SpecConfig, Task
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.form import texts
from bacalhau_jupyter.notebook.form.state import (
    DOCKER,
    LANGUAGES,
    OPENS_WITH,
    PROCESS,
    FormState,
    InputRow,
    blank_job,
)

EMPTY_TASK = Task(name="main")

_KEPT = "(kept) "
"""Begins the text of a field whose value no text means exactly: it is kept until another text stands there."""
_LONGEST = 80

WORDS = {DOCKER: {"command": "Parameters", "entrypoint": "Entrypoint"}, PROCESS: {"command": "Command"}}
"""Fields that hold words, and the parameter of the engine that each stands for."""
PLAIN = {DOCKER: {"image": "Image", "workdir": "WorkingDirectory"}, PROCESS: {"workdir": "WorkingDirectory"}}
"""The same for fields that hold one text."""


def task_of(job: Job) -> Task:
    """Return the one task that a form shows."""
    return job.tasks[0] if job.tasks else EMPTY_TASK


def shown(job: Job) -> FormState:
    """Fill a form with a job."""
    task = task_of(job)
    return FormState(
        runs=runs_of(task.engine),
        **_engine(task.engine),
        inputs=tuple(_row(task, number) for number in range(len(task.input_sources))),
        outputs=lines([texts.output_line(item) for item in task.result_paths]),
        publisher=_or_kept(texts.publisher_text(task.publisher), task.publisher.type),
        env=lines([env_line(name, value) for name, value in task.env.items()]),
        labels=lines([texts.pair_line(name, value) for name, value in job.labels.items()]),
        cpu=task.resources.cpu,
        memory=task.resources.memory,
        disk=task.resources.disk,
        gpu=task.resources.gpu,
        network=task.network.type.value,
        domains=lines([domain if is_line(domain) else None for domain in task.network.domains]),
        constraints=_or_kept(texts.selector_text(job.constraints), describe(job.constraints)),
        timeout=texts.duration_text(task.timeouts.total_timeout),
        queue_timeout=texts.duration_text(task.timeouts.queue_timeout),
        execution_timeout=texts.duration_text(task.timeouts.execution_timeout),
        name=_plain(job.name),
        namespace=_plain(job.namespace),
        kind=_plain(job.type),
        count="" if job.count is None else str(job.count),
        priority=str(job.priority) if job.priority else "",
        base=job,
    )


def empty_form() -> FormState:
    """Return what a form shows that is opened with nothing."""
    return shown(blank_job()).changed(runs=OPENS_WITH)


def kind_of(engine: SpecConfig) -> str:
    """Return an engine's type as readers see it."""
    return engine.type.strip().lower()


def runs_of(engine: SpecConfig) -> str:
    """Return what a form runs for an engine; one that is called like a language is no language."""
    return f"engine {engine.type}" if engine.type in LANGUAGES else engine.type


def env_line(name: str, value: str) -> str | None:
    """Return the line of a variable; a secret is masked, and kept."""
    return texts.pair_line(name, value, is_secret=True)


def lines(items: Sequence[str | None]) -> str:
    """Return the lines of a field; entries that no line can say are kept behind it."""
    return "\n".join(item for item in items if item is not None)


def is_line(text: str) -> bool:
    """Whether a text can stand in a line of its own."""
    return bool(text) and text == text.strip() and readable(text) == text


def param_key(params: Mapping[str, Any], name: str) -> str:
    """Return how a parameter is spelled there: readers ignore case."""
    return next((key for key in params if key.lower() == name.lower()), name)


def _engine(engine: SpecConfig) -> dict[str, str]:
    kind = kind_of(engine)
    shown_params: dict[str, str] = {}
    for field, name in WORDS.get(kind, {}).items():
        words = engine.params.get(param_key(engine.params, name))
        shown_params[field] = "" if words is None else _or_kept(texts.words_text(words), _short(words))
    for field, name in PLAIN.get(kind, {}).items():
        value = engine.params.get(param_key(engine.params, name), "")
        shown_params[field] = _plain(value) if isinstance(value, str) else _KEPT + _short(value)
    return shown_params


def _row(task: Task, number: int) -> InputRow:
    item = task.input_sources[number]
    text = texts.input_text(item)
    if text is None:
        name = texts.input_name(item)
        return InputRow(name, item, name, is_kept=True)
    return InputRow(text, item, text)


def _or_kept(text: str | None, description: str) -> str:
    return _KEPT + _short(description) if text is None else text


def _plain(text: str) -> str:
    return text if readable(text) == text and text == text.strip() else _KEPT + _short(text)


def _short(value: Any) -> str:
    text = readable(value if isinstance(value, str) else repr(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@dataclass(frozen=True)
class _Part:
    """A part of a spec that may hold something no field shows."""

    name: str
    count: Callable[[Job, Task], int]


def _kept_params(job: Job, task: Task) -> int:
    kind = kind_of(task.engine)
    names = {*WORDS.get(kind, {}).values(), *PLAIN.get(kind, {}).values()}
    keys = {param_key(task.engine.params, name) for name in names}
    return len([key for key in task.engine.params if key not in keys])


def _unsaid(items: Sequence[str | None]) -> int:
    return len([item for item in items if item is None])


def _ports(job: Job, task: Task) -> int:
    ports: Sequence[Port] = task.network.ports
    return len(ports)


_PARTS = (
    _Part("meta", lambda job, task: len(job.meta)),
    _Part("task meta", lambda job, task: len(task.meta)),
    _Part("further tasks", lambda job, task: max(0, len(job.tasks) - 1)),
    _Part("engine parameters", _kept_params),
    _Part("inputs", lambda job, task: _unsaid([texts.input_text(item) for item in task.input_sources])),
    _Part("result paths", lambda job, task: _unsaid([texts.output_line(item) for item in task.result_paths])),
    _Part("environment variables", lambda job, task: _unsaid([env_line(*pair) for pair in task.env.items()])),
    _Part("labels", lambda job, task: _unsaid([texts.pair_line(*pair) for pair in job.labels.items()])),
    _Part("domains", lambda job, task: len([d for d in task.network.domains if not is_line(d)])),
    _Part("ports", _ports),
    _Part("task name", lambda job, task: int(task.name != EMPTY_TASK.name)),
    _Part("publisher", lambda job, task: int(texts.publisher_text(task.publisher) is None)),
    _Part("constraints", lambda job, task: int(texts.selector_text(job.constraints) is None)),
    _Part("ID, state and version", lambda job, task: int(bool(job.id or job.version or job.create_time))),
)


def kept(job: Job) -> list[str]:
    """Name the parts of a job that no field shows: they stay as they are."""
    task = task_of(job)
    counted = ((part.name, part.count(job, task)) for part in _PARTS)
    names = [f"{name} ({count})" if count > 1 else name for name, count in counted if count]
    state = shown(job)
    fields = ("image", "command", "entrypoint", "workdir", "name", "namespace", "kind")
    return names + [name for name in fields if getattr(state, name).startswith(_KEPT)]
