"""The codec's promises, for any model and any sloppy peer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.models import codec
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.node import NodeState
from bacalhau_jupyter.models.wire import api, messages
from tests.models.samples import instances, mangled

MODELS = (
    Job,
    Execution,
    NodeState,
    api.GetJobResponse,
    api.ListResultsResponse,
    messages.RunResult,
    messages.BacError,
)


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_encoded_decodes_to_the_same_value(kind: type, data: st.DataObject) -> None:
    value = data.draw(instances(kind))
    assert codec.decode(codec.encode(value), kind) == value
    assert codec.decode_exact(codec.encode(value), kind) == value


@pytest.mark.parametrize("kind", (Job, Execution, NodeState, messages.RunResult))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_case_of_names_nulls_and_unknown_members_do_not_matter(kind: type, data: st.DataObject) -> None:
    value = data.draw(instances(kind))
    sloppy = mangled(json.loads(codec.encode(value)), kind, data)
    assert codec.decode(json.dumps(sloppy), kind) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"Job":{"Count":"two"}}', "Job.Count"),
        ('{"Job":{"Tasks":[{"Engine":{"Type":"docker","Params":[1]}}]}}', "Job.Tasks[0].Engine.Params"),
        ('{"Job":{"Tasks":[{"Network":{"Type":"telepathy"}}]}}', "telepathy"),
        ('{"Job":{"CreateTime":1.5}}', "Job.CreateTime"),
        ('{"Job":{"Tasks":"x"}}', "Job.Tasks"),
        ('{"Job":', "not valid JSON"),
        ("[]", "body"),
        ("\ud800", "not valid JSON"),
    ],
)
def test_bad_json_is_refused_in_one_sentence_that_names_the_member(text: str, sentence: str) -> None:
    with pytest.raises(BadRequest) as caught:
        codec.decode(text, api.PutJobRequest)
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message


def test_an_absent_count_and_a_count_of_zero_differ() -> None:
    assert codec.decode("{}", Job).count is None
    assert codec.decode('{"Count":null}', Job).count is None
    assert codec.decode('{"count":0}', Job).count == 0
    assert b'"Count":0' in codec.encode(Job(count=0))


def test_parameters_travel_verbatim() -> None:
    params = {"bucket": "b", "Entrypoint": None, "nested": {"a": [1, None, {"B": 2.5}]}}
    text = json.dumps({"Tasks": [{"Engine": {"Type": "docker", "Params": params}}]})
    assert codec.decode(text, Job).task.engine.params == params


def test_an_enormous_nesting_is_refused() -> None:
    deep = "[" * 5000 + "]" * 5000
    with pytest.raises(BadRequest):
        codec.decode('{"Tasks":[{"Engine":{"Params":{"a":' + deep + "}}}]}", Job)
