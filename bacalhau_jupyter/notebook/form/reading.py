"""From the form's fields to the job they mean; every field that can't be read says why, in the words of its flag."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from bacalhau_jupyter.client.inputs.uri import parse_output, parse_publisher
from bacalhau_jupyter.client.jobs.limits import resources_asked, seconds_asked
from bacalhau_jupyter.client.jobs.submission import QUEUE_TIMEOUT_S
from bacalhau_jupyter.grammar.flags.options import pairs, variables
from bacalhau_jupyter.lib.masking import MASK
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.selector import parse_selector
from bacalhau_jupyter.models.jobs.spec import (
    InputSource,
    NetworkType,
    ResourcesConfig,
    SpecConfig,
    Task,
    replace,
)
from bacalhau_jupyter.notebook.form import texts
from bacalhau_jupyter.notebook.form.showing import (
    PLAIN,
    WORDS,
    env_line,
    is_line,
    kind_of,
    param_key,
    shown,
    task_of,
)
from bacalhau_jupyter.notebook.form.state import FormState, InputRow, Problem

T = TypeVar("T")

ReadInput = Callable[[str], Sequence[InputSource]]
"""Turns the short form of an input into inputs; raises BacalhauError."""


@dataclass
class Reading:
    """What was read so far.

    Attributes
    ----------
    problems
        One for each field that can't be read; the job then has the value of the job behind the form.
    """

    state: FormState
    before: FormState
    problems: list[Problem] = field(default_factory=list)

    def value(self, name: str, old: T, read: Callable[[str], T]) -> T:
        """Return what a field means: the old value where its text is the one that was shown for it."""
        text: str = getattr(self.state, name)
        if text == getattr(self.before, name):
            return old
        try:
            return read(text)
        except BacalhauError as error:
            self.problems.append(Problem(name, error.message, error.hint))
            return old


def read(
    state: FormState, read_input: ReadInput, environment: Mapping[str, str] = os.environ
) -> tuple[Job, list[Problem]]:
    """Return the job that the fields mean, and a problem for each field that can't be read.

    Parameters
    ----------
    state
        The fields. The engine of a language is left out: the notebook makes it of the code.
    read_input
        Reads short forms of inputs.
    environment
        Variables that a line without ``=`` passes on.
    """
    base = state.base
    reading = Reading(state, shown(base))
    task = _task(reading, task_of(base), read_input, environment)
    count = reading.value("count", base.count, _count)
    changes = {
        "name": reading.value("name", base.name, str.strip),
        "namespace": reading.value("namespace", base.namespace, str.strip),
        "type": reading.value("kind", base.type, str.strip),
        "count": count,
        "priority": reading.value("priority", base.priority, lambda text: _whole(text, "priority") or 0),
        "labels": _labels(reading, base.labels),
        "constraints": reading.value("constraints", base.constraints, parse_selector),
    }
    tasks = base.tasks if task is task_of(base) else [task, *base.tasks[1:]]
    return _changed(base, {**changes, "tasks": tasks}), reading.problems


def _task(reading: Reading, task: Task, read_input: ReadInput, environment: Mapping[str, str]) -> Task:
    state = reading.state
    network = _changed(
        task.network,
        {
            "type": reading.value("network", task.network.type, _network),
            "domains": _entries(
                state.domains,
                [(domain, domain if is_line(domain) else None) for domain in task.network.domains],
                str.strip,
            ),
        },
    )
    return _changed(
        task,
        {
            "engine": task.engine if state.is_code else _engine(reading, task.engine),
            "publisher": reading.value("publisher", task.publisher, _publisher),
            "env": _variables(reading, task.env, environment),
            "input_sources": _inputs(reading, task.input_sources, read_input),
            "result_paths": reading.value(
                "outputs",
                task.result_paths,
                lambda text: _entries(
                    text, [(item, texts.output_line(item)) for item in task.result_paths], parse_output
                ),
            ),
            "resources": _resources(reading, task.resources),
            "network": network,
            "timeouts": _timeouts(reading, task),
        },
    )


def _changed(model: T, values: Mapping[str, Any]) -> T:
    """Return the model with other values; the very same one where nothing differs."""
    changes = {name: value for name, value in values.items() if value != getattr(model, name)}
    return replace(model, **changes) if changes else model  # type: ignore[type-var]


def _engine(reading: Reading, engine: SpecConfig) -> SpecConfig:
    is_same = reading.state.runs == reading.before.runs
    if not is_same:
        # Another engine has other parameters.
        engine = SpecConfig(type=reading.state.runs)
    kind = kind_of(engine)
    params = dict(engine.params)
    for name, param in {**WORDS.get(kind, {}), **PLAIN.get(kind, {})}.items():
        key = param_key(params, param)
        parse: Callable[[str], Any] = _words if name in WORDS.get(kind, {}) else str.strip
        if key in params:
            value = reading.value(name, params[key], parse)
            if value is not params[key]:
                params[key] = value
                if not value:
                    del params[key]
        elif value := _typed(reading, name, parse):
            params[key] = value
    return engine if params == engine.params else replace(engine, params=params)


def _typed(reading: Reading, name: str, parse: Callable[[str], Any]) -> Any:
    """Read a field that stands for nothing yet."""
    try:
        return parse(getattr(reading.state, name)) or None
    except BacalhauError as error:
        reading.problems.append(Problem(name, error.message, error.hint))
        return None


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BadRequest(
            f"the words {text!r} can't be read: {error}", hint="quote them as in a shell: sh -c 'echo hi'"
        ) from None


def _publisher(text: str) -> SpecConfig:
    return parse_publisher(text.strip()) if text.strip() else SpecConfig()


def _network(text: str) -> NetworkType:
    try:
        return NetworkType(text.strip()) if text.strip() else NetworkType.DEFAULT
    except ValueError:
        names = ", ".join(member.value for member in NetworkType)
        raise BadRequest(f"network {text!r} is not one of {names}") from None


def _resources(reading: Reading, resources: ResourcesConfig) -> ResourcesConfig:
    texts_of = {
        name: reading.value(name, getattr(resources, name), partial(_resource, name))
        for name in ("cpu", "memory", "disk", "gpu")
    }
    return _changed(resources, texts_of)


def _resource(name: str, text: str) -> str:
    resources_asked(ResourcesConfig(**{name: text}))
    return text.strip()


def _timeouts(reading: Reading, task: Task) -> Any:
    timeouts = task.timeouts
    total_s = reading.value("timeout", timeouts.total_timeout, lambda text: _seconds(text, "timeout"))
    queue_s = reading.value(
        "queue_timeout", timeouts.queue_timeout, lambda text: _seconds(text, "queue timeout")
    )
    if total_s != timeouts.total_timeout and queue_s == timeouts.queue_timeout == QUEUE_TIMEOUT_S:
        # As with the flags: our own default keeps within the total.
        queue_s = min(queue_s, total_s or queue_s)
    execution_s = reading.value(
        "execution_timeout", timeouts.execution_timeout, lambda text: _seconds(text, "execution timeout")
    )
    return _changed(
        timeouts, {"total_timeout": total_s, "queue_timeout": queue_s, "execution_timeout": execution_s}
    )


def _seconds(text: str, what: str) -> int:
    return seconds_asked(text, what) if text.strip() else 0


def _count(text: str) -> int | None:
    return _whole(text, "count")


def _whole(text: str, what: str) -> int | None:
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f"{what} {text!r} is not a whole number", hint="for example 1") from None


def _entries(text: str, old: Sequence[tuple[T, str | None]], parse: Callable[[str], T]) -> list[T]:
    """Return a field's entries: a line that was shown means its old entry, and what no line shows is kept."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines == [line for _, line in old if line is not None]:
        return [entry for entry, _ in old]
    by_line = {line: entry for entry, line in old if line is not None}
    unsaid = [entry for entry, line in old if line is None]
    return [*unsaid, *(by_line[line] if line in by_line else parse(line) for line in lines)]


def _variables(reading: Reading, env: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    def parse(line: str) -> tuple[str, str]:
        ((name, value),) = variables([line], environment).items()
        if value == MASK:
            raise BadRequest(f"the value of {name} is masked ({MASK})", hint="write the value itself")
        return name, value

    def pairs_of(text: str) -> dict[str, str]:
        return dict(_entries(text, [(pair, env_line(*pair)) for pair in env.items()], parse))

    return reading.value("env", dict(env), pairs_of)


def _labels(reading: Reading, labels: Mapping[str, str]) -> dict[str, str]:
    def parse(line: str) -> tuple[str, str]:
        (pair,) = pairs([line], "--labels").items()
        return pair

    return reading.value(
        "labels",
        dict(labels),
        lambda text: dict(_entries(text, [(pair, texts.pair_line(*pair)) for pair in labels.items()], parse)),
    )


def _inputs(reading: Reading, old: list[InputSource], read_input: ReadInput) -> list[InputSource]:
    if tuple(reading.state.inputs) == tuple(reading.before.inputs):
        return old
    return [source for row in reading.state.inputs for source in _row(reading, row, read_input)]


def _row(reading: Reading, row: InputRow, read_input: ReadInput) -> Sequence[InputSource]:
    if row.source is not None and (row.is_untouched or row.is_kept):
        return [row.source]
    if not row.text.strip():
        return []
    try:
        return read_input(row.text.strip())
    except BacalhauError as error:
        reading.problems.append(Problem("inputs", error.message, error.hint))
        return []
