"""Jobs as they are offered to nodes of other processes: what official nodes need of each one (NCL, §4.1)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import (
    Constraint,
    InputSource,
    NetworkConfig,
    NetworkType,
    Port,
    ResourcesConfig,
    ResultPath,
    SpecConfig,
    Task,
    Timeouts,
    replace,
)
from bacalhau_jupyter.models.records.execution import ComputeState, DesiredState, Execution
from bacalhau_jupyter.models.records.uploads import content_path
from bacalhau_jupyter.models.wire.envelope import data_metadata
from bacalhau_jupyter.models.wire.envelope import decode as wire_decode
from bacalhau_jupyter.models.wire.envelope import encode as wire_encode
from bacalhau_jupyter.models.wire.messages import AskForBid, CancelExecution
from bacalhau_jupyter.orchestrator.peers.offers import largest_spec, shaped, too_large
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store.outbox import offered
from bacalhau_jupyter.orchestrator.submitting import submission

LINK = f"http://127.0.0.1:1234{content_path('ab' * 32, 'data.csv')}?expires=9&signature=s"
FAR = "https://gpu-box.example.com:8443/bacalhau"

words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
params = st.dictionaries(
    words, st.recursive(st.none() | st.integers() | words, st.lists, max_leaves=4), max_size=3
)
names = st.dictionaries(words, words, max_size=3)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Any job that a client may send; many are refused, and those that are not must be readable for every node."""
    kind = draw(st.sampled_from(["batch", "service", "ops", "daemon"]))
    network = draw(st.sampled_from([None, *NetworkType]))
    ports = [Port(name="web", target=80)] if network in (NetworkType.HOST, NetworkType.BRIDGE) else []
    ports = draw(st.sampled_from([[], ports]))
    domains = ["example.com"] if network is NetworkType.HTTP else []
    extra = {} if network is None else {"network": NetworkConfig(type=network, ports=ports, domains=domains)}
    task = Task(
        name=draw(words),
        engine=SpecConfig(type=draw(st.sampled_from(["docker", "wasm", "process"])), params=draw(params)),
        publisher=draw(st.sampled_from([SpecConfig(), SpecConfig(type="local")])),
        env=draw(st.dictionaries(st.sampled_from(["A", "B_2"]), words, max_size=2)),
        meta=draw(names),
        input_sources=draw(
            st.lists(st.just(InputSource(source=SpecConfig(type="inline"), target="/in")), max_size=1)
        ),
        result_paths=draw(st.lists(st.just(ResultPath(name="out", path="/out")), max_size=1)),
        resources=ResourcesConfig(cpu=draw(st.sampled_from(["", "1", "250m"]))),
        timeouts=Timeouts(execution_timeout=draw(st.integers(0, 10))),
        **extra,
    )
    return Job(
        name=draw(st.just("") | words),
        namespace=draw(st.just("") | words),
        type=kind,
        count=draw(st.none() | st.integers(0, 3)) if kind in ("batch", "service") else None,
        constraints=draw(st.lists(st.just(Constraint(key="a", operator="exists")), max_size=1)),
        meta=draw(names),
        labels=draw(names),
        tasks=[task],
    )


def offer(job: Job, **changes: object) -> AskForBid:
    execution = Execution(
        id="e-1",
        namespace=job.namespace,
        node_id="n-1",
        job_id=job.id,
        compute_state=ComputeState(),
        desired_state=DesiredState(),
        revision=7,
    )
    return AskForBid(execution=offered(replace(execution, **changes), job))


@given(jobs())
def test_every_job_that_is_accepted_can_be_read_by_an_official_node(job: Job) -> None:
    job = decode(encode(job), Job)
    try:
        prepared, _ = submission.prepare(job, OrchestratorSettings(node_id="n-o"), None, lambda: "id")
    except BacalhauError:
        return
    message = shaped(offer(prepared), is_stock=True, far_address="")
    assert isinstance(message, AskForBid)
    body = json.loads(encode(message))
    execution, written = body["Execution"], body["Execution"]["Job"]
    assert execution["ComputeState"]["StateType"] == 1 and execution["Revision"] <= 1
    assert execution["DesiredState"]["StateType"] == (1 if prepared.type in ("ops", "daemon") else 0)
    assert execution["AllocatedResources"] == {"Tasks": {}}
    for value in (execution["ID"], execution["Namespace"], execution["JobID"]):
        assert value.strip()
    for member in ("ID", "Name", "Namespace"):
        assert written[member].strip()
    assert written["Type"] in ("batch", "service", "ops", "daemon")
    for member, kind in (("Meta", dict), ("Labels", dict), ("Constraints", list), ("Tasks", list)):
        assert isinstance(written[member], kind)
    assert all(isinstance(constraint.get("Values", []), list) for constraint in written["Constraints"])
    assert isinstance(written["Count"], int)
    (task,) = written["Tasks"]
    assert task["Name"].strip() and task["Engine"]["Type"].strip()
    assert task.get("Publisher") or not task.get("ResultPaths")
    network = task.get("Network")
    assert network is None or network["Type"] in ("None", "Full", "HTTP", "Bridge")
    for member in ("Env", "Meta", "InputSources", "ResultPaths", "Resources", "Timeouts"):
        assert task.get(member, 0) is not None


def test_nothing_that_official_nodes_fill_in_is_ever_null() -> None:
    """A null Meta ends an official node's process (`ncl-protocol.md` §7, experiment 10)."""
    body = wire_encode(offer(Job(id="j", tasks=[Task()])), data_metadata("o", 1, 1))
    assert b'"Meta":{}' in body and b'"Labels":{}' in body and b'"Constraints":[]' in body
    assert b'"AllocatedResources":{"Tasks":{}}' in body
    for member in (b"Meta", b"Labels", b"Constraints", b"Tasks", b"AllocatedResources", b"Job", b"Execution"):
        assert b'"' + member + b'":null' not in body


@pytest.mark.parametrize(
    ("network", "stock", "ours"),
    [
        (NetworkConfig(type=NetworkType.HOST), {"Type": "Full"}, {"Type": "Host"}),
        (NetworkConfig(), None, {"Type": "Default"}),
        (NetworkConfig(type=NetworkType.NONE), {"Type": "None"}, {"Type": "None"}),
    ],
)
def test_an_official_node_gets_the_network_as_the_official_orchestrator_writes_it(
    network: NetworkConfig, stock: object, ours: object
) -> None:
    message = offer(Job(id="j", tasks=[Task(network=network)]))

    def written(*, is_stock: bool) -> object:
        shape = json.loads(encode(shaped(message, is_stock=is_stock, far_address="")))
        return shape["Execution"]["Job"]["Tasks"][0].get("Network")

    assert written(is_stock=True) == stock
    assert written(is_stock=False) == ours


def test_our_own_node_reads_the_old_name_of_the_network_as_the_new_one() -> None:
    message = offer(Job(id="j", tasks=[Task(network=NetworkConfig(type=NetworkType.HOST))]))
    shape = shaped(message, is_stock=True, far_address="")
    _, read = wire_decode(wire_encode(shape, data_metadata("o", 1, 1)))
    assert isinstance(read, AskForBid) and read.execution.job is not None
    assert read.execution.job.task.network.type is NetworkType.HOST


def inputs(*urls: str) -> AskForBid:
    sources = [InputSource(source=SpecConfig(type="urlDownload", params={"URL": url})) for url in urls]
    return offer(Job(id="j", tasks=[Task(input_sources=sources)]))


def urls_of(message: object) -> list[str]:
    assert isinstance(message, AskForBid) and message.execution.job is not None
    return [str(item.source.param("URL")) for item in message.execution.job.task.input_sources]


def test_links_of_this_node_lead_far_nodes_to_the_advertised_address_and_others_stay() -> None:
    other, elsewhere = "http://127.0.0.1:9000/mine.csv", LINK.replace("127.0.0.1", "other.example.com")
    message = inputs(LINK, other, elsewhere)
    moved = LINK.replace("http://127.0.0.1:1234", FAR)
    assert urls_of(shaped(message, is_stock=False, far_address=FAR)) == [moved, other, elsewhere]
    assert urls_of(shaped(message, is_stock=False, far_address="")) == [LINK, other, elsewhere]
    assert urls_of(message) == [LINK, other, elsewhere]


def test_other_messages_stay_as_they_are() -> None:
    message = CancelExecution(execution_id="e")
    assert shaped(message, is_stock=True, far_address=FAR) is message


def test_a_spec_is_too_large_where_no_link_carries_it() -> None:
    limit = 1 << 20
    assert too_large(largest_spec(limit), [limit]) is None
    assert too_large(largest_spec(limit) + 1, [limit, limit // 2]) == largest_spec(limit)
    assert too_large(1 << 30, [limit, None]) is None
    assert too_large(1 << 30, []) is None
