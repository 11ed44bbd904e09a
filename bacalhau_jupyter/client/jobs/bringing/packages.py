"""Bringing packages to jobs: resolved once, kept by the node of this machine, or sent along to a cluster elsewhere."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.client.inputs.contents import FolderContent
from bacalhau_jupyter.client.inputs.inline import inline_files, upload
from bacalhau_jupyter.client.jobs.bringing.building import Builder
from bacalhau_jupyter.client.jobs.bringing.helpers import Submits, ask_python, image_of
from bacalhau_jupyter.client.packages import targets
from bacalhau_jupyter.client.packages.failures import COMPONENT
from bacalhau_jupyter.client.packages.indexes import index_words
from bacalhau_jupyter.client.packages.pending import PendingPackages, Say
from bacalhau_jupyter.client.packages.resolver import Place, Resolver
from bacalhau_jupyter.client.packages.targets import Target
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Forbidden
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, Task, replace
from bacalhau_jupyter.models.records.packages import FEATURE, SOURCE, KeepPackages, PackagesState
from bacalhau_jupyter.models.records.uploads import FEATURE as UPLOADS
from bacalhau_jupyter.transfer.core.scratch import scratch_directory

IMAGE_AGE_S = 3600.0
"""Seconds after which an image is asked for its Python again: its name may mean another image by then."""
SENT_AGE_S = 24 * 3600.0
"""Seconds after which packages that travel along are resolved again."""
ROOM = 8_000_000_000
"""Bytes that packages which travel along may take on this disk."""


def has_packages(model: JobModel) -> bool:
    """Whether a job asks for packages that are not resolved yet."""
    return any(isinstance(each, PendingPackages) for task in model.tasks for each in task.input_sources)


class PackageBringer:
    """Remembers what one client has resolved, and which Python images hold. Methods block.

    Parameters
    ----------
    resolver
        Runs uv; None: with this process's settings, as they are when it is needed.
    """

    def __init__(self, resolver: Resolver | None = None) -> None:
        self._resolver = resolver
        self._images: dict[tuple[str, str], tuple[Target, float]] = {}
        self._sent: dict[str, tuple[Path, float]] = {}
        self._wheels: Path | None = None

    def resolved(self, client: Submits, model: JobModel, say: Say) -> JobModel:
        """Return a job whose packages are there.

        Raises
        ------
        BacalhauError
            There is no set of packages that fits, or it can't be fetched, or kept.
        """
        tasks = [
            replace(
                task,
                input_sources=[self._source(client, model, task, each, say) for each in task.input_sources],
            )
            for task in model.tasks
        ]
        return replace(model, tasks=tasks)

    def _source(
        self, client: Submits, model: JobModel, task: Task, item: InputSource, say: Say
    ) -> InputSource:
        if not isinstance(item, PendingPackages):
            return item
        target = self._target(client, task, item.python, say)
        resolver = self._resolver or Resolver()
        where = image_of(task.engine) if any(each.is_built for each in item.required) else ""
        order = _Order(
            resolver,
            Builder(client, model, task, target, resolver.environment),
            request_hash(item, target, resolver.environment, where),
            item,
            say,
        )
        # The node writes where this process can, only on a machine and for a user that both share.
        if client.endpoint.embedded and FEATURE in client.info.features:
            with suppress(Forbidden):
                state = _kept(client, order)
                source = SpecConfig(type=SOURCE, params={"Set": state.set})
                return InputSource(source=source, alias=_alias(state), target=item.target)
        can_upload = UPLOADS in client.info.features
        return replace(self._travelling(order, can_upload=can_upload), alias="packages")

    def _target(self, client: Submits, task: Task, python: str, say: Say) -> Target:
        if python:
            return targets.of_executable(python)
        if task.engine.is_type("process"):
            return targets.own()
        image = image_of(task.engine)
        if not image:
            raise BadRequest(f"--pip knows jobs in images and of this machine, not {task.engine.type}")
        key = (client.endpoint.url, image)
        known = self._images.get(key)
        if known is not None and time.monotonic() - known[1] < IMAGE_AGE_S:
            return known[0]
        say(f"asking {image} for its Python")
        target = targets.of_image(ask_python(client, image, task), image)
        self._images[key] = (target, time.monotonic())
        return target

    def _travelling(self, order: _Order, *, can_upload: bool) -> InputSource:
        made = self._sent.get(order.request)
        if made is None or time.monotonic() - made[1] > SENT_AGE_S:
            if self._wheels is None:
                self._wheels = scratch_directory(self)
            root = scratch_directory(self)
            try:
                order.make(Place(root / "set" / "site", root / "cache", ROOM), self._wheels)
            except BaseException:
                remove_tree(root)
                raise
            remove_tree(root / "cache")
            self._sent[order.request] = made = (root, time.monotonic())
        site = made[0] / "set" / "site"
        return upload(site, order.item.target) if can_upload else _inside(site, order.item.target)


@dataclass(frozen=True)
class _Order:
    """One request for packages, and what carries it out."""

    resolver: Resolver
    builder: Builder
    request: str
    item: PendingPackages
    say: Say

    def make(self, place: Place, wheels: Path) -> list[str]:
        """Build what is to be built, and make the directory of packages; return the lock."""
        built = [self.builder.wheel(each, wheels, self.say) for each in self.item.required if each.is_built]
        return self.resolver.make(self.item.required, self.builder.target, place, self.say, built)


def _kept(client: Submits, order: _Order) -> PackagesState:
    state = client.call(lambda api: api.packages.find(order.request))
    if state.set:
        return state
    draft = state.draft
    try:
        cache = Path(state.cache)
        locked = order.make(Place(Path(state.directory), cache, state.room), cache / "built")
        kept = KeepPackages(request=order.request, target=order.builder.target.words, locked=locked)
        return client.call(lambda api: api.packages.keep(draft, kept))
    except BaseException:
        with suppress(BacalhauError):
            client.call(lambda api: api.packages.drop(draft))
        raise


def _inside(site: Path, target: str) -> InputSource:
    """Return packages that travel inside the job, without bytecode."""
    files = {
        name: data for name, data in FolderContent.of(site).inline().items() if not name.endswith(".pyc")
    }
    try:
        return inline_files(files, target, what="the set of packages")
    except BadRequest as error:
        raise BadRequest(
            error.message,
            component=COMPONENT,
            hint="this cluster takes no uploads: name an image that holds the packages (--image), or ask for fewer",
        ) from None


def request_hash(
    item: PendingPackages, target: Target, environment: Mapping[str, str], where: str = ""
) -> str:
    """Return what names a request: what is asked for, for which Python, and of which indexes (without credentials).

    Parameters
    ----------
    where
        The image in which some of it is built; empty for none.
    """
    asked = [[each.text, *each.hashes, *(["built"] if each.is_built else [])] for each in item.required]
    words = [target.words, target.executable, asked, index_words(environment), *([where] if where else [])]
    return hashlib.sha256(json.dumps(words).encode("utf-8", "surrogateescape")).hexdigest()


def _alias(state: PackagesState) -> str:
    shown = ", ".join(state.distributions[:5])
    return f"packages {shown}" + (" …" if len(state.distributions) > 5 else "")
