"""Source packages become wheels inside a job: their code runs there, never here.

The job runs where the cell's own job will, with the network that pip needs and nothing else: no inputs, no variables,
no credential. What it leaves is checked and written anew (`client/packages/wheels.py`) before uv sees it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from bacalhau_jupyter.client.inputs.inline import upload
from bacalhau_jupyter.client.jobs.bringing.helpers import (
    LABELS,
    QUEUE_S,
    Submits,
    awaited,
    image_of,
    python_words,
    small,
)
from bacalhau_jupyter.client.jobs.build import job_of
from bacalhau_jupyter.client.jobs.options import JobOptions
from bacalhau_jupyter.client.packages.build_program import NO_PIP, bundled_pip
from bacalhau_jupyter.client.packages.build_sources import BuildSources, build_sources
from bacalhau_jupyter.client.packages.failures import COMPONENT
from bacalhau_jupyter.client.packages.pending import Say
from bacalhau_jupyter.client.packages.requirements import Required
from bacalhau_jupyter.client.packages.targets import Target
from bacalhau_jupyter.client.packages.wheels import MAX_WHEEL, BuiltWheel, checked_wheel
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, Task, replace
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.outcome import deciding
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.transfer.core.readers import EntryKind
from bacalhau_jupyter.transfer.core.scratch import scratch_directory

BUILD_S = 1800
"""Seconds that a build may take."""
WHEEL_AGE_S = 24 * 3600.0
"""Seconds after which a wheel is built anew, unless one version was asked for: there may be a newer one."""
_PIP = "/inputs/pip.whl"
"""Where a Python without pip finds the one of this Python."""
_CERTIFICATES = "/inputs/certificates.pem"
_ONE_VERSION = re.compile(r"==[^*,;]+$")
_BLOCK = 1 << 20
_TAIL, _LONGEST = 15, 300
"""Lines of a failed build that are shown, and characters of each."""
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


@dataclass(frozen=True)
class Builder:
    """Builds what one job needs.

    Attributes
    ----------
    client
        Submits the builds.
    model, task
        The job that needs the packages, and its task.
    target
        The Python that imports them.
    environment
        The resolver's, which says where packages come from.
    """

    client: Submits
    model: JobModel
    task: Task
    target: Target
    environment: Mapping[str, str]

    def wheel(self, required: Required, kept: Path, say: Say) -> BuiltWheel:
        """Return the wheel of a package: one that was built before, or that a job builds now. Blocks.

        Parameters
        ----------
        required
            What to build.
        kept
            The directory where wheels are kept.
        say
            Receives the progress.

        Raises
        ------
        BacalhauError
            It can't be built here, its build failed, or it left no wheel of it.
        """
        sources = build_sources(self.environment)
        place = kept / self._key(required, sources)
        if (there := _kept_wheel(place, required)) is not None:
            return there
        work = scratch_directory()
        try:
            raw = work / "raw"
            file_name = self._built(required, sources, raw, say)
            made = work / "made"
            made.mkdir()
            wheel = checked_wheel(raw, file_name, required, self.target, made)
            return _keep(wheel, made, place)
        finally:
            remove_tree(work)

    def _key(self, required: Required, sources: BuildSources) -> str:
        where = "" if self.client.endpoint.embedded else self.client.endpoint.url
        asked = [required.text, *required.hashes]
        words = [self.target.words, self.target.executable, image_of(self.task.engine), where]
        text = json.dumps([asked, words, sources.indexes, sources.options])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def _built(self, required: Required, sources: BuildSources, raw: Path, say: Say) -> str:
        """Run the build; leave its wheel in a file, and return what the build calls it."""
        say(f"building {required.name}")
        try:
            result = self._run(required, sources, [], say)
            wheels = bundled_pip()
            if result.exit_code == NO_PIP and wheels:
                result = self._run(required, sources, [upload(wheels[0], _PIP)], say)
        except BacalhauError as error:
            raise BadRequest(
                f"{required.name} can't be built in a job here: {error.message}",
                component=COMPONENT,
                hint=error.hint or "a build needs the network; an image may hold the package (--image)",
            ) from error
        if result.exit_code:
            raise _failed(required, result)
        return _fetched(required, result, raw)

    def _run(
        self, required: Required, sources: BuildSources, inputs: list[InputSource], say: Say
    ) -> JobResult:
        handle = self.client.submit(self._job(required, sources, inputs))
        say(f"building {required.name} in job {handle.short_id}")
        return awaited(handle)

    def _job(self, required: Required, sources: BuildSources, inputs: list[InputSource]) -> JobModel:
        is_process = self.task.engine.is_type("process")
        if sources.certificates is not None:
            inputs = [*inputs, upload(sources.certificates, _CERTIFICATES)]
        order = {
            "name": required.name,
            "requirement": " ".join([required.text, *(f"--hash={each}" for each in required.hashes)]),
            "indexes": sources.indexes,
            "options": sources.options,
            # Without mounts, a process has its directories only where it starts.
            "outputs": "/outputs"[is_process:],
            "pip": _PIP[is_process:],
            "certificates": _CERTIFICATES[is_process:] if sources.certificates is not None else "",
        }
        arguments = ["-c", _program(), json.dumps(order)]
        # A container's own network does not reach this machine's loopback; a process has no other than this machine's.
        on_host = is_process or sources.on_this_machine
        options = JobOptions(
            inputs=inputs,
            env=sources.proxies,
            network="Host" if on_host else "Bridge",
            timeout=BUILD_S,
            queue_timeout=QUEUE_S,
            namespace=self.model.namespace,
            priority=self.model.priority,
            labels=LABELS,
            task_name="build",
        )
        job = job_of(_engine(self.task.engine, self.target, arguments), options)
        tasks = [replace(job.task, resources=small(self.task))]
        return replace(job, constraints=self.model.constraints, tasks=tasks)


def _engine(engine: SpecConfig, target: Target, arguments: list[str]) -> SpecConfig:
    if image := image_of(engine):
        return SpecConfig(type=engine.type, params={"Image": image, "Entrypoint": python_words(arguments)})
    python = engine.params.get("Python")
    if not python:
        return SpecConfig(type=engine.type, params={"Command": ["python3", *arguments]})
    return SpecConfig(type=engine.type, params={"Command": [target.executable, *arguments], "Python": python})


@cache
def _program() -> str:
    return (
        resources.files("bacalhau_jupyter.client.packages").joinpath("build_program.py").read_bytes().decode()
    )


def _failed(required: Required, result: JobResult) -> BacalhauError:
    execution = deciding(result.executions)
    output = execution.run_output if execution is not None else None
    text = _SEQUENCE.sub("", output.stderr if output is not None else "")
    telling = [line for line in text.splitlines() if line.strip() and "WARNING: Retrying" not in line]
    lines = [readable(line.rstrip()[:_LONGEST]) for line in telling][-_TAIL:]
    name = short_id(result.job.id)
    return BadRequest(
        f"{required.name} could not be built in job {name}"
        + (":\n" + "\n".join(f"  {line}" for line in lines) if lines else ""),
        component=COMPONENT,
        hint=f"%bacalhau job logs {name} shows all that the build printed; an image with a compiler (--image) may help",
    )


def _fetched(required: Required, result: JobResult, raw: Path) -> str:
    """Fetch the one wheel that a build left into a file; return its name."""
    entries = [each for each in result.entries() if each.path.startswith("outputs/")]
    files = [each for each in entries if each.kind is EntryKind.FILE]
    if len(entries) != 1 or len(files) != 1:
        names = ", ".join(shown(each.path.removeprefix("outputs/")[:80]) for each in entries[:3])
        raise _no_wheel(required, f"it left {names}" if names else "it left nothing")
    entry = files[0]
    if entry.size > MAX_WHEEL:
        raise _no_wheel(required, f"it left {format_bytes(entry.size)}")
    with result.open(entry.path) as source, raw.open("xb") as copy:
        while (block := source.read(_BLOCK)) and copy.tell() <= MAX_WHEEL:
            copy.write(block)
    return PurePosixPath(entry.path).name


def _no_wheel(required: Required, reason: str) -> BadRequest:
    return BadRequest(
        f"the build of {required.name} did not leave one wheel: {reason}",
        component=COMPONENT,
        hint="the package's own build decides that; an image may hold it (--image)",
    )


# ---- wheels that were built before


def _kept_wheel(place: Path, required: Required) -> BuiltWheel | None:
    try:
        facts: Any = json.loads((place / "wheel.json").read_bytes())
        age_s = time.time() - (place / "wheel.json").stat().st_mtime
        path = place / str(facts["file"])
        wheel = BuiltWheel(required.name, str(facts["version"]), path, str(facts["sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_fresh = age_s < WHEEL_AGE_S or _ONE_VERSION.search(required.text) is not None
    return wheel if is_fresh and path.is_file() else None


def _keep(wheel: BuiltWheel, made: Path, place: Path) -> BuiltWheel:
    facts = {"file": wheel.path.name, "version": wheel.version, "sha256": wheel.sha256}
    (made / "wheel.json").write_bytes(json.dumps(facts).encode())
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in (wheel.path, made / "wheel.json"):
        part = place / f".{uuid.uuid4().hex}"
        shutil.copyfile(file, part)
        part.replace(place / file.name)
    return dataclasses.replace(wheel, path=place / wheel.path.name)
