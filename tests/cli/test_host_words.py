"""What `host …` tells people, and what its flags mean."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.grammar.hosts.adding import host_add
from bacalhau_jupyter.grammar.hosts.shown import host_details, hosts_table, machine, remains_table, trial
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.jobs.selector import describe
from bacalhau_jupyter.models.records.host_orders import HostCleaning, HostRemains, HostStep, HostTest
from bacalhau_jupyter.models.records.hosts import (
    DockerContext,
    HostFacts,
    HostRecord,
    Hosts,
    HostState,
    HostUser,
)

A100 = GPU(index=0, name="A100", vendor="NVIDIA", memory=81920)
FACTS = HostFacts(
    resources=Resources(cpu=32, memory=1 << 37, disk=1 << 40, gpu=1, gpus=[A100]),
    taken=Resources(cpu=4, gpu=1, gpus=[A100]),
    others=[HostUser(name="training")],
    machine="box",
    os="linux",
    architecture="amd64",
    engine="28.2.2",
    load=1.5,
    skew_ms=-3_600_000.0,
    round_trip_ms=12.5,
    gpu_problems={"rocm-smi": "it hangs"},
)
AWAY = HostRecord(
    name="gpu1",
    url="ssh://alice@gpu1",
    state=HostState.UNREACHABLE,
    problem="gpu1 does not answer since 14:03",
    node_id="n-1-gpu1",
    capacity=Resources(cpu=25.6, memory=10**11, gpu=1),
    executions=2,
    facts=FACTS,
)


def test_the_list_tells_state_capacity_reason_and_what_could_be_added() -> None:
    hosts = Hosts(
        items=[AWAY],
        problems=["host gpu2: it needs an address"],
        contexts=[DockerContext(name="lab", url="ssh://lab")],
    )
    text = hosts_table(hosts).text()
    assert "gpu1 does not answer since 14:03" in text
    assert "0.0 / 25.6" in text
    assert "! host gpu2: it needs an address" in text
    assert "lab (host add --context NAME)" in text
    assert "host add ssh://alice@gpu1" in hosts_table(Hosts()).text()


def test_a_host_is_shown_with_its_machine_its_clock_and_what_others_use() -> None:
    text = host_details(AWAY).text()
    assert "Unreachable" in text
    assert "was added" not in text
    assert host_details(AWAY, is_new=True).text().endswith("as soon as it answers: --host gpu1")
    shown = machine(FACTS)
    assert shown["Clock"] == "3600 s behind this machine's: time stamps of its logs are its own"
    assert shown["Used by others"] == "1 container, CPU 4, GPU 0"
    assert shown["GPUs"] == "0: A100 80 GiB; rocm-smi: it hangs"
    assert "Clock" not in machine(HostFacts())


def test_that_a_host_has_no_gpu_is_said_with_the_reason() -> None:
    nobody = "none found: no nvidia-smi, rocm-smi or xpu-smi there names one"
    assert machine(HostFacts(load=0.5))["GPUs"] == nobody
    # Nothing can be asked there but the engine.
    assert machine(HostFacts())["GPUs"] == "none found: its Docker Engine names none"
    assert machine(HostFacts(gpu_problems={"rocm-smi": "it hangs"}))["GPUs"] == "rocm-smi: it hangs"


def test_a_trial_names_the_step_that_fails_and_what_helps() -> None:
    steps = [
        HostStep(name="name", ok=True, sentence="gpu1 is 10.0.0.7"),
        HostStep(
            name="login", ok=False, sentence="gpu1 does not let alice in", hint="ssh-copy-id alice@gpu1"
        ),
        HostStep(name="engine"),
    ]
    shown = trial(HostTest(ok=False, steps=steps))
    assert shown.is_failure
    assert not trial(HostTest(ok=True)).is_failure
    text = shown.text()
    assert "✕  login   gpu1 does not let alice in" in text
    assert "ssh-copy-id alice@gpu1" in text


def test_what_others_left_is_listed_with_its_owner() -> None:
    items = [
        HostRemains(node_id="n-x", owner="ann@laptop", containers=3),
        HostRemains(node_id="n-y", is_own=True, containers=1),
    ]
    text = remains_table(HostCleaning(items=items, removed=["n-z"]), "gpu1").text()
    assert "ann@laptop" in text
    assert "this node" in text
    assert "Removed what node n-z had left." in text


def test_host_is_short_for_a_constraint_and_adds_to_others() -> None:
    job = docker("ubuntu", "true", host="gpu1", constraints="zone=eu")
    assert describe(job.constraints) == describe(
        docker("ubuntu", "true", constraints="zone=eu,host=gpu1").constraints
    )
    with pytest.raises(BadRequest, match="can't be the name of a host"):
        docker("ubuntu", "true", host="gpu 1")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "host add needs the address of a Docker host"),
        (["gpu1", "--context", "lab"], "host add takes an address or a Docker context, not both"),
    ],
)
def test_what_host_add_lacks_is_told(words: list[str], sentence: str) -> None:
    end = CliRunner().invoke(host_add, words).exception
    assert isinstance(end, BadRequest)
    assert end.message == sentence
