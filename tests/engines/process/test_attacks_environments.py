"""What a job tries with Python environments, per tier: things planted by earlier jobs, spellings of ``/``, swaps.

Each attack first succeeds against an engine that believes the names in a spec, as it once did.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.process import bids
from bacalhau_jupyter.engines.process import visible_paths as view
from bacalhau_jupyter.engines.process.environments import Environments, Forbidden, Registered, Registry, check
from bacalhau_jupyter.engines.process.environments.check import CheckedPath
from bacalhau_jupyter.engines.process.params import PythonReference
from bacalhau_jupyter.engines.process.tiers import Bubblewrap
from bacalhau_jupyter.models.errors import BadRequest, EngineError
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.process.attackers import attacker, unconfined
from tests.engines.process.bench import Bench
from tests.engines.process.pythons import SITE, make_python
from tests.engines.running import Result
from tests.services.common import open_way

CONNECT_UNIX = "s = socket.socket(socket.AF_UNIX); s.connect(target); return True"
SECRET = "the-secret-of-another-program"
READ = f"return {SECRET!r} in open(target).read()"


@pytest.fixture
def secret(bench: Bench) -> Path:
    """A file that everybody on this machine may read, but no job has any business with."""
    directory = bench.place / "secret"
    directory.mkdir()
    (directory / "token").write_text(SECRET)
    (directory / "token").chmod(0o644)
    open_way(directory)
    return directory / "token"


@contextmanager
def names_are_believed() -> Iterator[None]:
    """Show whatever a spec names, and what ``.pth`` files name: the engine without registered environments."""

    def believed(python: PythonReference, environments: Environments) -> Registered:
        description = python.description
        places = []
        for text in [*description.prefixes, *description.paths]:
            real = os.path.realpath(text)
            info = Path(real).stat()
            places.append(CheckedPath(target=text, real=real, device=info.st_dev, inode=info.st_ino))
        return Registered(name="believed", description=description, places=places)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bids, "_registered", believed)
        patch.setattr(Forbidden, "place", lambda *_: "")
        yield


@contextmanager
def names_stay_the_same() -> Iterator[None]:
    """Show what was registered under its name, whatever that leads to by now: the engine without descriptors."""
    made = bids._view

    def unpinned(registered: Registered | None, environments: Environments) -> view.View:
        return dataclasses.replace(made(registered, environments), pins={})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bids, "_view", unpinned)
        patch.setattr(Registry, "verify", lambda _, registered, __: registered.places)
        yield


async def attack(bench: Bench, body: str, target: Path | str, **python: Any) -> Result:
    result = await bench.python(attacker(body), str(target), Python=python)
    assert "TRIED" in result.stdout or result.outcome.reason is EndReason.ERROR, result
    return result


async def assert_refused(bench: Bench, body: str, target: Path | str, **python: Any) -> None:
    """Neither the bid nor the start lets a job see what a spec names; both say why and what to do."""
    execution = bench.request(["true"], Python=python).execution
    bid = await bench.engine.bid(execution)
    assert not bid.accepted
    assert bid.reason.startswith(
        "this node shows jobs only Python environments that its own user has registered"
    )
    assert "--image" in bid.reason
    assert "from a kernel on this node's machine" in bid.reason
    with pytest.raises(EngineError, match="has registered"):
        await attack(bench, body, target, **python)


# --- planted by an earlier job ----------------------------------------------------------------------------------------


async def plant(bench: Bench, commands: str) -> Path:
    """Let a first job leave something in its outputs, whose way everybody can go."""
    first = await bench.run(
        ["sh", "-c", f"umask 0; mkdir -p outputs/python3; cd outputs/python3; {commands}"]
    )
    assert first.outcome.exit_code == 0, first
    open_way(first.outputs / "python3")
    return first.outputs / "python3" / "site-packages"


async def test_a_link_that_a_job_left_leads_the_next_one_nowhere(bench: Bench, secret: Path) -> None:
    planted = await plant(bench, f"ln -s {secret.parent} site-packages")
    assert planted.is_symlink()
    target = planted / "token" if bench.mounts else secret
    with names_are_believed():
        assert "REACHED" in (await attack(bench, READ, target, Paths=[str(planted)])).stdout
    await assert_refused(bench, READ, target, Paths=[str(planted)])


async def test_a_pth_file_that_a_job_left_shows_the_next_one_nothing(bench: Bench, secret: Path) -> None:
    planted = await plant(bench, f"mkdir site-packages; echo {secret.parent} > site-packages/x.pth")
    paths = [str(planted), str(secret.parent)]
    with names_are_believed():
        assert "REACHED" in (await attack(bench, READ, secret, Paths=paths)).stdout
    await assert_refused(bench, READ, secret, Paths=paths)


async def test_not_even_the_owner_registers_files_in_a_job_s_directory(bench: Bench, secret: Path) -> None:
    planted = await plant(bench, f"mkdir site-packages; echo {secret.parent} > site-packages/x.pth")
    prefix = planted.parent / "prefix"
    make_python(prefix)
    with pytest.raises(BadRequest, match="never shown"):
        await bench.register(Prefixes=[str(prefix)])
    python = await bench.register(Paths=[str(planted)])
    result = await bench.python(attacker(READ), str(secret), Python=python)
    assert "TRIED" in result.stdout
    assert "REACHED" not in result.stdout


# --- spellings of everything ------------------------------------------------------------------------------------------

EVERYTHING = (
    "/",
    "//",
    "///",
    "/.",
    "/usr/..",
    "/proc/self/root",
    "/proc/1/root",
    "/proc/thread-self/root/.",
)


@pytest.mark.parametrize("prefix", EVERYTHING)
async def test_no_spelling_of_the_root_shows_the_whole_machine(
    bench: Bench, secret: Path, prefix: str
) -> None:
    if not bench.mounts and os.access(prefix, os.R_OK) and not prefix.startswith("/usr"):
        # Where things are mounted, nothing can be mounted over the job's own root; /usr is shown anyhow.
        with names_are_believed():
            assert "REACHED" in (await attack(bench, READ, secret, Prefixes=[prefix])).stdout
    await assert_refused(bench, READ, secret, Prefixes=[prefix])
    with pytest.raises(BadRequest, match=r"does not show|can't see"):
        await bench.register(Prefixes=[prefix])


@pytest.mark.parametrize("path", ["/", "/etc", "/root", "/home", "/run"])
async def test_an_environment_that_refers_to_the_whole_machine_does_not_show_it(
    bench: Bench, path: str
) -> None:
    with pytest.raises(BadRequest, match=path):
        await bench.register(Prefixes=[path])
    if not os.access(path, os.R_OK):
        return
    prefix = bench.place / "environment"
    (make_python(prefix) / "all.pth").write_text(f"{path}\n{bench.repo}\n")
    python = await bench.register(Prefixes=[str(prefix)], Paths=[path, str(bench.repo)])
    probe = f"ls {path}/root {bench.repo} {bench.home}; cat {bench.api_key}; echo $BACALHAU_PATHS_NOT_SHOWN"
    result = await bench.run(["sh", "-c", probe], Python=python)
    assert result.stdout == f"{path}:{bench.repo}\n", result


async def test_an_absolute_command_adds_nothing_to_the_view(bench: Bench) -> None:
    script = bench.place / "bin" / "tool"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho REACHED\n")
    script.chmod(0o755)
    open_way(script.parent)
    assert "REACHED" in subprocess.check_output([script], text=True)
    for command in (str(script), f"/usr/..{script}", "/opt/no-such-tool"):
        try:
            result = await bench.run([command])
        except EngineError as refused:
            assert "does not exist in the job's view" in refused.message
        else:
            # /tmp is the job's own, so only starting the program tells.
            assert command == str(script)
            assert result.stdout == ""


# --- secrets and sockets inside what is shown -------------------------------------------------------------------------


@pytest.mark.parametrize("linked", [False, True], ids=["under its own name", "under a link"])
async def test_a_secret_inside_a_directory_that_is_shown_stays_hidden(bench: Bench, linked: bool) -> None:
    real = bench.place / "environment"
    (make_python(real) / "shown.py").write_text("VALUE = 'shown'")
    hidden = real / "share" / "repo"
    hidden.mkdir(parents=True)
    (hidden / "key").write_text("hidden")
    (bench.place / "link").symlink_to(real)
    prefix = bench.place / "link" if linked else real
    bench.use(dataclasses.replace(bench.options, hidden=(bench.repo, hidden)))
    assert await bench.open() == ""
    code = attacker(
        f"print(open(target + '/{SITE}/shown.py').read())\nreturn open(target + '/share/repo/key').read()"
    )
    assert "REACHED" in unconfined(code, str(prefix))
    python = await bench.register(Prefixes=[str(prefix)])
    result = await bench.python(code, str(prefix), Python=python)
    assert "VALUE = 'shown'" in result.stdout, result
    assert "REACHED" not in result.stdout


@pytest.mark.parametrize("renamed", [False, True])
async def test_a_socket_inside_an_environment_takes_no_connection(
    bench: Bench, renamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = bench.place / "e"
    make_python(prefix)
    path = prefix / "docker.sock"
    monkeypatch.chdir(prefix)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("bound" if renamed else str(path))
        if renamed:
            Path("bound").rename(path)
        listener.listen()
        path.chmod(0o777)
        assert "REACHED" in unconfined(attacker(CONNECT_UNIX), str(path))
        if bench.mounts:
            with monkeypatch.context() as patch:
                patch.setattr(check, "sockets_below", lambda roots: [])
                patch.setattr(view, "listening_below", lambda roots: [])
                python = await bench.register(Prefixes=[str(prefix)])
                result = await bench.python(attacker(CONNECT_UNIX), str(path), Python=python)
            assert "REACHED" in result.stdout, "the attack does not work, so the test shows nothing"
            for record in (bench.data / "environments").iterdir():
                record.unlink()
        python = await bench.register(Prefixes=[str(prefix)])
        result = await bench.python(attacker(CONNECT_UNIX), str(path), Python=python)
    assert "TRIED" in result.stdout
    assert "REACHED" not in result.stdout


# --- swaps ------------------------------------------------------------------------------------------------------------


def swap_itself(site: Path, secret: Path) -> Path:
    site.rename(site.with_name("moved"))
    site.symlink_to(secret.parent)
    return site / "token"


def swap_its_parent(site: Path, secret: Path) -> Path:
    site.parent.rename(site.parent.with_name("moved"))
    site.parent.mkdir()
    site.parent.chmod(0o755)
    site.symlink_to(secret.parent)
    return site / "token"


Swap = Callable[[Path, Path], Path]
SWAPS = pytest.mark.parametrize("swap", [swap_itself, swap_its_parent])


async def a_user_site(bench: Bench) -> tuple[Path, dict[str, Any]]:
    site = bench.place / "user" / SITE
    site.mkdir(parents=True)
    open_way(site)
    return site, await bench.register(Paths=[str(site)])


@SWAPS
async def test_what_was_swapped_after_the_registration_is_not_shown(
    bench: Bench, secret: Path, swap: Swap
) -> None:
    site, python = await a_user_site(bench)
    target = swap(site, secret)
    with names_stay_the_same():
        assert "REACHED" in (await attack(bench, READ, target, **python)).stdout
    bid = await bench.engine.bid(bench.request(["true"], Python=python).execution)
    assert not bid.accepted
    assert "restart the kernel" in bid.reason
    with pytest.raises(EngineError, match=str(site)):
        await attack(bench, READ, target, **python)


@SWAPS
async def test_what_is_swapped_between_the_last_check_and_the_mount_is_not_shown(
    bench: Bench, secret: Path, swap: Swap, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, python = await a_user_site(bench)
    checked = bids.check
    done: list[Path] = []

    def then_swap(*arguments: Any) -> Any:
        registered = checked(*arguments)
        if not done:
            done.append(swap(site, secret))
        return registered

    monkeypatch.setattr(bids, "check", then_swap)
    target = site / "token"
    result = await attack(bench, READ, target, **python)
    assert done
    assert result.outcome.reason is EndReason.ERROR
    assert result.outcome.error is not None
    assert f"this node can't show {site}" in result.outcome.error.message
    assert "REACHED" not in result.stdout
    with names_stay_the_same():
        assert "REACHED" in (await attack(bench, READ, target, **python)).stdout


async def test_a_bubblewrap_that_binds_names_only_shows_what_was_registered(bench: Bench) -> None:
    if not isinstance(bench.tier, Bubblewrap):
        pytest.skip("nothing is mounted")
    bench.tier._binds_descriptors = False
    site, python = await a_user_site(bench)
    (site / "mine.py").write_text("VALUE = 'shown'")
    code = "print(open(__import__('sys').argv[1]).read())"
    result = await bench.python(code, str(site / "mine.py"), Python=python)
    assert "VALUE = 'shown'" in result.stdout, result


async def test_an_environment_in_which_jobs_may_write_by_now_is_not_shown(bench: Bench) -> None:
    site, python = await a_user_site(bench)
    assert (await bench.engine.bid(bench.request(["true"], Python=python).execution)).accepted
    bench.use(dataclasses.replace(bench.options, writable=lambda path: path == bench.place / "user"))
    assert await bench.open() == ""
    bid = await bench.engine.bid(bench.request(["true"], Python=python).execution)
    assert "jobs may write" in bid.reason
    assert str(site) in bid.reason
