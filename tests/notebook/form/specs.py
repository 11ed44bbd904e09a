"""Strategies that make job specs, valid ones and odd ones."""

from __future__ import annotations

from hypothesis import strategies as st

from bacalhau_jupyter.client.inputs.uri import parse_publisher
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
)
from bacalhau_jupyter.notebook.form.checking import seen_input

WORD = st.one_of(
    st.sampled_from(["", "a", "a b", " a", "é", "<b>", "'\"", "$x {y}", "a\nb", "\u202e", "a=b,c"]),
    st.text(max_size=4),
)
NAME = st.sampled_from(["A", "NAME", "zone", "API_TOKEN", "a.b-c", "Image", "x"])
OTHER_PARAMS = st.dictionaries(NAME, st.one_of(WORD, st.integers(), st.lists(WORD, max_size=2)), max_size=2)


def _docker(image: str, words: object, directory: object, extra: dict[str, object]) -> SpecConfig:
    known = {"Image": image, "parameters": words, "Entrypoint": [image], "WorkingDirectory": directory}
    return SpecConfig(type="docker", params={**{k: v for k, v in known.items() if v != ""}, **extra})


ENGINES = st.one_of(
    st.builds(
        _docker,
        WORD,
        st.one_of(st.lists(st.one_of(WORD, st.integers()), max_size=3), WORD, st.none()),
        st.one_of(st.none(), WORD, st.integers()),
        OTHER_PARAMS,
    ),
    st.lists(WORD, max_size=3).map(lambda words: SpecConfig(type="process", params={"Command": words})),
    st.builds(
        SpecConfig,
        type=st.sampled_from(["noop", "Docker", " docker", "wasm", "python", "sh", ""]),
        params=OTHER_PARAMS,
    ),
)
URIS = (
    "s3://bucket/key",
    "s3://bucket/a b/*,opt=region=eu-west-1,opt=endpoint=http://host:9000",
    "src=s3://b/k,dst=/data,opt=partition=regex:(.*)",
    "s3://b/k,opt=partition=substring:1-3,opt=versionID=v,opt=checksum-256=x",
    "ipfs://Qm123/x:/in",
    '"https://host/x?a=b,c:/y"',
    "file:///data/x,opt=rw=true",
    "file:///data/100%25/é",
)
INPUTS = st.one_of(
    st.sampled_from([seen_input(text)[0] for text in URIS]),
    st.builds(
        InputSource,
        source=st.builds(
            SpecConfig, type=st.sampled_from(["s3", "inline", "urlDownload", "odd"]), params=OTHER_PARAMS
        ),
        alias=WORD,
        target=st.one_of(st.just("/inputs"), WORD),
    ),
)
SHORT_PUBLISHERS = ("local", "ipfs", "s3managed", "noop", "s3://b/results/{jobID}", "s3://b/k,opt=region=r")
PUBLISHERS = st.one_of(
    st.sampled_from([parse_publisher(text) for text in SHORT_PUBLISHERS]),
    st.builds(SpecConfig, type=NAME, params=OTHER_PARAMS),
    st.just(SpecConfig(type="s3", params={"Bucket": "b", "Key": "k", "Odd": 1})),
    st.just(SpecConfig()),
)
PATHS = st.builds(ResultPath, name=st.one_of(NAME, WORD), path=st.one_of(st.just("/out"), WORD))
TASKS = st.builds(
    Task,
    name=st.one_of(st.just("main"), NAME),
    engine=ENGINES,
    publisher=PUBLISHERS,
    env=st.dictionaries(NAME, WORD, max_size=3),
    meta=st.dictionaries(NAME, WORD, max_size=1),
    input_sources=st.lists(INPUTS, max_size=3),
    result_paths=st.lists(PATHS, max_size=3),
    resources=st.builds(
        ResourcesConfig,
        cpu=st.sampled_from(["", "500m", "x"]),
        memory=st.sampled_from(["", "1gb", "5"]),
        gpu=WORD,
    ),
    network=st.builds(
        NetworkConfig,
        type=st.sampled_from(NetworkType),
        domains=st.lists(st.one_of(NAME, WORD), max_size=2),
        ports=st.lists(st.builds(Port, name=NAME, static=st.integers(0, 70_000)), max_size=1),
    ),
    timeouts=st.builds(
        Timeouts,
        total_timeout=st.integers(-5, 10**6),
        queue_timeout=st.sampled_from([0, 86400, 90]),
        execution_timeout=st.integers(0, 9999),
    ),
)
CONSTRAINTS = st.builds(
    Constraint,
    key=st.one_of(NAME, WORD),
    operator=st.sampled_from(["=", "==", "!=", "in", "notin", "exists", "!", "gt", "odd"]),
    values=st.lists(st.one_of(NAME, st.just("4"), WORD), max_size=2),
)
JOBS = st.builds(
    Job,
    name=WORD,
    namespace=st.one_of(st.just("default"), WORD),
    type=st.sampled_from(["batch", "ops", "service", "daemon", "odd", ""]),
    priority=st.integers(-3, 10),
    count=st.one_of(st.none(), st.integers(0, 5)),
    constraints=st.lists(CONSTRAINTS, max_size=2),
    labels=st.dictionaries(st.one_of(NAME, WORD), WORD, max_size=2),
    meta=st.dictionaries(NAME, WORD, max_size=2),
    tasks=st.lists(TASKS, min_size=1, max_size=2),
)
"""Any spec a person may write: most of these break a rule or two, which no form may mend or lose."""
