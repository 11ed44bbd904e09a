"""What a ``docker`` task may expect, on a Docker Engine and without one: the same tests for both."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.images.contract import ImageConfig
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType
from bacalhau_jupyter.plugins import logfile
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.daemonless.bench import Bench
from tests.engines.running import LIMITS_S
from tests.services.images import BUSYBOX
from tests.services.waiting import until

ECHO = ("/bin/echo", "entrypoint")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked to end has time to: on a busy machine, a shell may get no processor for a second."""
    monkeypatch.setattr("bacalhau_jupyter.engines.supervised.launch.STOP_GRACE_S", 60.0)
    monkeypatch.setattr("bacalhau_jupyter.engines.docker.engine.STOP_GRACE_S", 60)


@pytest.mark.parametrize(
    ("config", "params", "printed"),
    [
        (ImageConfig("amd64", "linux", entrypoint=ECHO, command=("command",)), {}, "entrypoint command"),
        (
            ImageConfig("amd64", "linux", entrypoint=ECHO, command=("command",)),
            {"Parameters": ["p"]},
            "entrypoint p",
        ),
        (
            ImageConfig("amd64", "linux", entrypoint=ECHO, command=("c",)),
            {"Entrypoint": ["/bin/echo", "own"]},
            "own",
        ),
        (
            ImageConfig("amd64", "linux", entrypoint=ECHO, command=("c",)),
            {"Entrypoint": ["echo"], "Parameters": ["a", "b c"]},
            "a b c",
        ),
        (ImageConfig("amd64", "linux", command=("echo", "only")), {}, "only"),
        (ImageConfig("amd64", "linux", command=("echo", "only")), {"Parameters": ["echo", "p"]}, "p"),
    ],
)
async def test_entrypoint_and_parameters(
    bench: Bench, config: ImageConfig, params: dict[str, Any], printed: str
) -> None:
    image = bench.define(config)
    ran = await bench.run({"Image": image, **params})
    assert (ran.outcome.exit_code, ran.stdout, ran.stderr) == (0, f"{printed}\n", "")


async def test_variables_of_the_image_and_the_job(bench: Bench) -> None:
    image = bench.define(ImageConfig("amd64", "linux", env=("A=image", "B=image", "C=image=x")))
    ran = await bench.run(
        {"Image": image, "Entrypoint": ["/bin/env"], "EnvironmentVariables": ["A=params", "E="]},
        env={"A": "job", "B": "job", "D": "ä\nb"},
    )
    variables = set(ran.stdout.split("\n"))
    assert {"A=params", "B=job", "C=image=x", "D=ä", "b", "E=", "HOME=/root"} <= variables
    names = {text.partition("=")[0] for text in variables}
    assert names == {"A", "B", "C", "D", "E", "HOME", "HOSTNAME", "PATH", "b", ""}


@pytest.mark.parametrize(
    ("directory", "own", "shown"),
    [("/new/place", "", "/new/place"), ("/etc", "", "/etc"), ("/etc", "/tmp/x", "/tmp/x"), ("", "", "/")],
)
async def test_the_working_directory_is_made_where_it_is_missing(
    bench: Bench, directory: str, own: str, shown: str
) -> None:
    image = bench.define(ImageConfig("amd64", "linux", working_directory=directory))
    params = {"Image": image, "Entrypoint": ["/bin/sh", "-c", "pwd; stat -c %a:%u:%g ."]}
    ran = await bench.run(params | ({"WorkingDirectory": own} if own else {}))
    assert ran.stdout == f"{shown}\n755:0:0\n"


async def test_a_relative_working_directory_of_an_image_is_refused(image_bench: Bench) -> None:
    image = image_bench.define(ImageConfig("amd64", "linux", working_directory="../../"))
    with pytest.raises(EngineError, match="needs to be an absolute path"):
        await image_bench.run({"Image": image, "Parameters": ["true"]})


async def test_a_working_directory_that_is_a_file_is_refused(bench: Bench) -> None:
    with pytest.raises(EngineError, match=r"(?i)cannot mkdir: /etc/passwd"):
        await bench.run({"Image": BUSYBOX, "Parameters": ["true"], "WorkingDirectory": "/etc/passwd"})


def accounts(tree: Path) -> None:
    (tree / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nann:x:1500:1600::/home/ann:/bin/sh\nbroken\nx:y:z\n"
    )
    (tree / "etc/group").write_text("root:x:0:\nstaff:x:1600:\nwheel:x:1700:ann,root\nlab:x:1800:ann\n")
    (tree / "home/ann").mkdir(parents=True)


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("ann", "1500:1600:1600 1700 1800:/home/ann"),
        ("1500", "1500:1600:1600 1700 1800:/home/ann"),
        ("ann:lab", "1500:1800:1800:/home/ann"),
        ("1234", "1234:0:0:/"),
        ("1234:4321", "1234:4321:4321:/"),
        ("", "0:0:0 1700:/root"),
    ],
)
async def test_the_user_of_the_image(bench: Bench, user: str, shown: str) -> None:
    image = bench.define(ImageConfig("amd64", "linux", user=user), accounts)
    # Groups by number: names would be looked up.
    script = "echo $(id -u):$(id -g):$(grep ^Groups /proc/self/status | cut -f2 | xargs):$HOME"
    ran = await bench.run({"Image": image, "Entrypoint": ["/bin/sh", "-c", script]})
    uid, gid, groups, home = ran.stdout.strip().split(":")
    assert f"{uid}:{gid}:{home}" == ":".join([*shown.split(":")[:2], shown.split(":")[3]])
    assert set(groups.split()) | {gid} == ({gid} if bench.has_one_user else set(shown.split(":")[2].split()))


@pytest.mark.parametrize("user", ["nobody-knows", "ann:nobody-knows", "4294967296"])
async def test_an_unknown_user_is_told(bench: Bench, user: str) -> None:
    image = bench.define(ImageConfig("amd64", "linux", user=user), accounts)
    with pytest.raises(EngineError, match=r"unable to find (user|group) nobody-knows|must be in range"):
        await bench.run({"Image": image, "Parameters": ["true"]})


async def test_root_writes_anywhere_and_nothing_of_it_stays(bench: Bench) -> None:
    owner = "0:0" if bench.has_one_user else "12:34"
    script = (
        f"rm -rf /home && mkdir -p /home/new && echo x > /bin/new && rm /etc/group && chown {owner} /etc/passwd"
        " && chmod 0 /etc/passwd && cat /etc/passwd > /dev/null && ln -s /x /usr/y && mv /var /var2 && echo done"
    )
    ran = await bench.sh(script)
    assert (ran.stdout, ran.outcome.exit_code) == ("done\n", 0), ran.stderr
    again = await bench.sh(
        "ls /bin/new /usr/y /var2 2>/dev/null; ls -d /etc/group /home /var; stat -c %u:%a /etc/passwd"
    )
    assert again.stdout == "/etc/group\n/home\n/var\n0:644\n"


async def test_a_user_other_than_root_writes_where_it_may(bench: Bench) -> None:
    image = bench.define(ImageConfig("amd64", "linux", user="ann"), accounts)
    params = {
        "Image": image,
        "Entrypoint": [
            "/bin/sh",
            "-c",
            "touch /tmp/a /outputs/b && echo in; touch /etc/no 2>/dev/null || echo out",
        ],
    }
    ran = await bench.run(params)
    # Where all files are the job's user's, it may write to what the image keeps for root.
    assert ran.stdout == ("in\n" if bench.has_one_user else "in\nout\n")
    assert (ran.outputs / "b").exists()


async def test_inputs_and_results(bench: Bench, tmp_path: Path) -> None:
    folder, file, shared = tmp_path / "folder", tmp_path / "file", tmp_path / "shared"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a").write_text("a")
    (folder / "private").write_text("p")
    (folder / "private").chmod(0o600)
    file.write_text("f")
    shared.mkdir()
    script = (
        "cat /inputs/deep/a /inputs/private /data/file; touch /inputs/x 2>/dev/null || echo -n -;"
        "echo s > /shared/s; mkdir /outputs/d; echo r > /outputs/d/r; chmod 0 /outputs/d/r;"
        "mkfifo /outputs/pipe; ln -s /etc/passwd /outputs/link"
    )
    ran = await bench.sh(
        script,
        inputs=[
            InputMount(folder, "/inputs"),
            InputMount(file, "/data/file"),
            InputMount(shared, "/shared", read_only=False),
        ],
        outputs=[("outputs", "/outputs"), ("more", "/var/more")],
    )
    assert (ran.stdout, ran.stderr, ran.outcome.exit_code) == ("apf-", "", 0)
    assert (shared / "s").read_text() == "s\n"
    assert (ran.outputs / "d/r").read_text() == "r\n"
    assert (ran.outputs / "link").readlink() == Path("/etc/passwd")
    assert not (folder / "x").exists()


async def test_one_input_inside_another(image_bench: Bench, tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a").write_text("a")
    (folder / "link").symlink_to("deep/a")
    file.write_text("f")
    inputs = [
        InputMount(folder, "/inputs"),
        InputMount(file, "/inputs/extra"),
        InputMount(file, "/inputs/deep/b"),
    ]
    script = "cat /inputs/deep/a /inputs/extra /inputs/deep/b /inputs/link; touch /inputs/x"
    ran = await image_bench.sh(script, inputs=inputs)
    assert ran.stdout == "affa"
    assert "Read-only" in ran.stderr


async def test_results_belong_to_the_node(image_bench: Bench) -> None:
    ran = await image_bench.sh(
        "cd /outputs; mkdir d; touch d/f; chown -R 1000:1000 d; chmod 4755 d/f; chmod 0 d"
    )
    for path in (ran.outputs, ran.outputs / "d", ran.outputs / "d/f"):
        facts = path.lstat()
        assert (facts.st_uid, facts.st_mode & 0o6000) == (os.geteuid(), 0)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"Entrypoint": ["nope"]}, r'exec: "nope": executable file not found in \$PATH'),
        ({"Entrypoint": ["/nope"]}, r'exec: "/nope": stat /nope: no such file or directory'),
        ({"Entrypoint": ["/etc/passwd"]}, r'exec: "/etc/passwd": permission denied'),
        ({"Entrypoint": ["/etc"]}, r'exec: "/etc": (permission denied|is a directory)'),
    ],
)
async def test_a_program_that_is_not_there_is_told(
    bench: Bench, params: dict[str, Any], problem: str
) -> None:
    with pytest.raises(EngineError, match=problem):
        await bench.run({"Image": BUSYBOX, **params})


async def test_a_program_that_the_kernel_refuses_ends_with_an_error(bench: Bench) -> None:
    def spoil(tree: Path) -> None:
        (tree / "bin/bad").write_bytes(b"\x7fELF\x02\x01\x01 of no known machine")
        (tree / "bin/bad").chmod(0o755)

    ran = await bench.run(
        {"Image": bench.define(ImageConfig("amd64", "linux"), spoil), "Entrypoint": ["bad"]}
    )
    assert ran.outcome.exit_code == 1
    assert "exec" in ran.stderr


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$; sleep 9", 137), ("nope", 127)],
)
async def test_exit_codes(bench: Bench, script: str, code: int) -> None:
    # As a child: a first process can't kill itself.
    ran = await bench.sh(f"sh -c '{script}'; exit $?")
    assert (ran.outcome.reason, ran.outcome.exit_code) == (EndReason.EXITED, code)


async def test_both_streams_and_their_frames(bench: Bench) -> None:
    request = bench.request(
        {"Image": BUSYBOX, "Entrypoint": ["/bin/sh", "-c", "echo out; echo err >&2; printf 'no newline'"]}
    )
    await bench.engine.start(request)
    await bench.engine.wait(request.execution.id)
    frames = list(logfile.read_frames(request.log_path))
    assert frames[-1].stream == logfile.END
    ran = await bench.finish(request)
    assert (ran.stdout, ran.stderr) == ("out\nno newline", "err\n")


@pytest.mark.usefixtures("patient")
async def test_cancelling_asks_first(bench: Bench) -> None:
    script = "trap 'echo asked > /outputs/asked; exit 5' TERM; echo ready > /outputs/ready; while :; do sleep 0.1; done"
    request = bench.request({"Image": BUSYBOX, "Entrypoint": ["/bin/sh", "-c", script]})
    await bench.engine.start(request)
    waiting = asyncio.create_task(bench.engine.wait(request.execution.id))
    await until(lambda: (request.outputs[0].path / "ready").exists())
    await bench.engine.cancel(request.execution.id)
    async with asyncio.timeout(60):
        outcome = await waiting
    assert outcome.reason is EndReason.CANCELLED
    assert (request.outputs[0].path / "asked").exists()
    await bench.engine.clean(request.execution.id)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("stop_signal", "heard"), [("SIGUSR1", "USR1"), ("3", "QUIT"), ("SIGTERM", "TERM")])
async def test_an_image_names_the_signal_that_asks_it(bench: Bench, stop_signal: str, heard: str) -> None:
    image = bench.define(ImageConfig("amd64", "linux", stop_signal=stop_signal))
    traps = "".join(
        f"trap 'echo {each} >> /outputs/asked; exit 5' {each};" for each in ("TERM", "USR1", "QUIT")
    )
    script = f"{traps} echo ready > /outputs/ready; while :; do sleep 0.1; done"
    request = bench.request({"Image": image, "Entrypoint": ["/bin/sh", "-c", script]})
    await bench.engine.start(request)
    await until(lambda: (request.outputs[0].path / "ready").exists())
    await bench.engine.cancel(request.execution.id)
    ran = await bench.finish(request)
    assert ran.outcome.reason is EndReason.CANCELLED
    assert (ran.outputs / "asked").read_text() == f"{heard}\n"


@pytest.mark.usefixtures("patient")
async def test_a_signal_of_an_image_is_for_its_first_process(bench: Bench) -> None:
    image = bench.define(ImageConfig("amd64", "linux", stop_signal="SIGUSR1"))
    # A program of its own: a shell's child without a trap would die of it, and the parent would go on.
    child = "trap 'echo child >> /outputs/asked' USR1; echo > /outputs/child; while :; do sleep 0.1; done"
    script = (
        f"sh -c \"{child}\" & trap 'echo first >> /outputs/asked; sleep 0.3; exit' USR1; echo > /outputs/ready;"
        "while :; do sleep 0.1; done"
    )
    request = bench.request({"Image": image, "Entrypoint": ["/bin/sh", "-c", script]})
    await bench.engine.start(request)
    await until(lambda: all((request.outputs[0].path / name).exists() for name in ("ready", "child")))
    await bench.engine.cancel(request.execution.id)
    ran = await bench.finish(request)
    assert (ran.outputs / "asked").read_text() == "first\n"


async def test_nothing_of_a_cancelled_task_goes_on(image_bench: Bench) -> None:
    script = (
        "(trap '' TERM; while :; do sleep 0.1; done) & trap '' TERM; echo > /outputs/ready; wait; sleep 100"
    )
    request = image_bench.request({"Image": BUSYBOX, "Entrypoint": ["/bin/sh", "-c", script]})
    await image_bench.engine.start(request)
    await until(lambda: (request.outputs[0].path / "ready").exists())
    await image_bench.engine.cancel(request.execution.id)
    async with asyncio.timeout(60):
        assert (await image_bench.engine.wait(request.execution.id)).reason is EndReason.CANCELLED


async def test_the_time_out_is_the_runtimes_own(image_bench: Bench) -> None:
    ran = await image_bench.sh("sleep 100", timeout_s=0.3)
    assert ran.outcome.reason is EndReason.TIMEOUT


@pytest.mark.usefixtures("patient")
async def test_at_its_time_out_an_image_is_asked_by_its_own_signal(image_bench: Bench) -> None:
    image = image_bench.define(ImageConfig("amd64", "linux", stop_signal="SIGUSR1"))
    script = "trap 'echo asked; exit 5' USR1; while :; do sleep 0.1; done"
    for limit_s in LIMITS_S:
        params = {"Image": image, "Entrypoint": ["/bin/sh", "-c", script]}
        ran = await image_bench.run(params, timeout_s=limit_s)
        assert ran.outcome.reason is EndReason.TIMEOUT
        # The signal ends a shell that has set no trap yet.
        if ran.stdout:
            break
    assert ran.stdout == "asked\n"


async def test_a_user_other_than_root_prints_to_the_streams_by_name(bench: Bench) -> None:
    image = bench.define(ImageConfig("amd64", "linux", user="ann"), accounts)
    script = "echo o > /dev/stdout; echo e > /dev/stderr"
    ran = await bench.run({"Image": image, "Entrypoint": ["/bin/sh", "-c", script]})
    assert (ran.stdout, ran.stderr) == ("o\n", "e\n")


async def test_devices_and_memory(bench: Bench) -> None:
    script = (
        "echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; echo x > /dev/shm/a;"
        "cat /dev/shm/a; echo y > /dev/stdout; ls -l /dev/fd/ > /dev/null && echo fd"
    )
    ran = await bench.sh(script)
    assert ran.stdout == "3\n3\nx\ny\nfd\n"


async def test_without_a_network_there_is_a_loopback_only(bench: Bench) -> None:
    ran = await bench.sh(
        "ls /sys/class/net 2>/dev/null || grep -o 'lo:' /proc/net/dev; cat /proc/net/dev | wc -l"
    )
    assert ran.stdout.split()[0].startswith("lo")
    assert ran.stdout.split()[-1] == "3"
    # Root may listen below port 1024, and localhost is a name.
    # The one that listens speaks: where it had nothing to say, `nc` could hang up before the other one had spoken.
    script = (
        "nc -l -p 99 -e echo hi & i=0; until nc -w 30 localhost 99 < /dev/null 2> /dev/null || [ $i = 200 ];"
        "do i=$((i + 1)); sleep 0.1; done; wait"
    )
    assert (await bench.sh(script)).stdout == "hi\n"


async def test_the_network_of_the_host(bench: Bench) -> None:
    ran = await bench.sh(
        "hostname; grep -c localhost /etc/hosts", network=NetworkConfig(type=NetworkType.HOST)
    )
    assert ran.stdout.split()[0] == socket.gethostname()
    assert int(ran.stdout.split()[1]) > 0


async def test_a_process_can_be_limited_in_memory(image_bench: Bench) -> None:
    ran = await image_bench.sh(
        "cat /proc/self/limits | grep -i 'data size'", resources=Resources(memory=64 << 20)
    )
    assert str(64 << 20) in ran.stdout


async def test_a_task_finds_no_descriptor_that_is_not_its_own(image_bench: Bench) -> None:
    ran = await image_bench.sh("ls /proc/self/fd | xargs; cat /proc/1/cmdline | tr '\\0' ' '")
    assert ran.stdout.splitlines()[0] in ("0 1 2 3", "0 1 2 3 4")
    assert "bwrap" not in ran.stdout


async def test_the_first_process_is_the_tasks(bench: Bench) -> None:
    ran = await bench.sh("echo $$")
    assert ran.stdout == "1\n"
