"""Functions as jobs, on a real node."""

from __future__ import annotations

import linecache
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.job import JobFailed
from bacalhau_jupyter.client.jobs.many import ManyFailed
from bacalhau_jupyter.client.jobs.titles import TITLE
from bacalhau_jupyter.client.remote.function import RemoteFunction, remote
from bacalhau_jupyter.client.remote.values import RemoteError
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from tests.services.node_fixtures import factory

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with factory(tmp_path_factory.mktemp("nodes")) as start:
        node = start()
        with Client(data_dir=str(node.repo.path), start=False) as made:
            yield made


def notebook(source: str, name: str, client: Client, **options: Any) -> RemoteFunction:
    """Define a function as a notebook would (it belongs to ``__main__``), and make it remote."""
    file = f"/tmp/ipykernel_1/{abs(hash(source))}.py"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), space)
    function: Callable[..., Any] = space[name]
    return remote(client=client, **options)(function)


def test_a_call_is_a_job_and_returns_the_value(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    scaled = notebook(
        "import os\nfactor = 3\n"
        "def scaled(x, *, plus=0):\n    print('in', os.environ['BACALHAU_EXECUTION_ID'][:2])\n"
        "    return {'y': x * factor + plus}",
        "scaled",
        client,
    )
    assert scaled(7, plus=1) == {"y": 22}
    assert capfd.readouterr().out.startswith("in e-")
    assert scaled.local is not None
    job = scaled.submit(1)
    assert scaled.value(job) == {"y": 3}
    # So that a list shows more of it than an ID.
    assert job.describe().meta[TITLE] == "scaled(…)"


def test_frames_go_in_and_come_back(client: Client) -> None:
    doubled = notebook("def doubled(frame):\n    return frame * 2", "doubled", client)
    frame = pd.DataFrame({"a": [1, 2]})
    pd.testing.assert_frame_equal(doubled(frame), frame * 2)


def test_an_exception_is_shown_as_text_with_the_functions_own_lines(client: Client) -> None:
    source = "class Odd(Exception):\n    pass\ndef fails(x):\n    raise Odd(f'no {x}')"
    with pytest.raises(RemoteError, match=r"fails raised __main__\.Odd: no 5 \(job j-") as raised:
        notebook(source, "fails", client)(5)
    error = raised.value
    assert (error.type_name, error.error_message) == ("__main__.Odd", "no 5")
    assert "value = call()" not in error.traceback
    assert error.traceback.rstrip().endswith("Odd: no 5")
    assert isinstance(error, JobFailed)
    assert error.__cause__ is None


def test_a_traceback_shows_the_lines_of_a_function_that_lies_in_no_file_of_the_job(client: Client) -> None:
    with pytest.raises(RemoteError) as raised:
        notebook("def divides(x):\n    return 1 / x  # here", "divides", client)(0)
    assert "return 1 / x  # here" in raised.value.traceback
    assert raised.value.type_name == "ZeroDivisionError"


def test_a_value_that_only_unpickling_brings_back_is_never_unpickled_by_itself(
    client: Client, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    source = (
        "class Evil:\n    def __reduce__(self):\n"
        f"        return (open, ({str(mark)!r}, 'w'))\n"
        "def evil():\n    return Evil()"
    )
    evil = notebook(source, "evil", client)
    with pytest.raises(BacalhauError, match=r"evil returned a __main__\.Evil, which only unpickling"):
        evil()
    result = evil.submit().result()
    with pytest.raises(BadRequest, match="runs code that the job chose"):
        result.load("value")
    assert not mark.exists()
    # The control: it is a real attack.
    result.load("value", trust=True).close()
    assert mark.exists()


def test_load_reads_safe_values_and_pickle_files_that_a_person_trusts(client: Client) -> None:
    source = (
        "import pickle\n"
        "def writes():\n    pickle.dump({1, 2}, open('outputs/set.pkl', 'wb'))\n    return [1, 2]"
    )
    result = notebook(source, "writes", client).submit().result()
    assert result.load("value") == [1, 2]
    with pytest.raises(BadRequest):
        result.load("outputs/set.pkl")
    assert result.load("outputs/set.pkl", trust=True) == {1, 2}
    assert pickle.loads(result.bytes("outputs/set.pkl")) == {1, 2}


def test_map_makes_one_frame_of_many_jobs(client: Client) -> None:
    source = "def train(lr):\n    import pandas\n    return pandas.DataFrame({'loss': [lr / 2]})"
    mapped = notebook(source, "train", client).map([0.5, 0.25])
    assert [frame["loss"][0] for frame in mapped] == [0.25, 0.125]
    expected = pd.DataFrame({"lr": [0.5, 0.25], "loss": [0.25, 0.125]})
    pd.testing.assert_frame_equal(mapped.df(), expected)


def test_one_failure_of_many_is_named_and_the_others_go_on(client: Client) -> None:
    inverse = notebook("def inverse(x):\n    return 1 / x", "inverse", client)
    with pytest.raises(
        ManyFailed, match=r"1 of 3 calls failed: 0: ZeroDivisionError: division by zero$"
    ) as raised:
        inverse.map([1, 0, 2])
    done = [inverse.value(each.result) for each in raised.value.members if each.result and not each.error]
    assert done == [1.0, 0.5]


def test_a_module_beside_the_caller_travels_along(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_the_caller.py").write_text("def shout(text):\n    return text.upper()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "import beside_the_caller\ndef f(x):\n    return beside_the_caller.shout(x)"
    assert notebook(source, "f", client)("a") == "A"


def test_an_image_with_another_python_is_refused_before_submission(client: Client) -> None:
    f = notebook("def f():\n    return 1", "f", client, image="python:3.9")
    before = len(client.jobs(limit=100))
    with pytest.raises(BadRequest, match=r"python:3\.9 has 3\.9"):
        f()
    assert len(client.jobs(limit=100)) == before


def test_what_can_not_travel_is_refused_with_the_functions_name(client: Client) -> None:
    source = "import threading\nlock = threading.Lock()\ndef f():\n    return lock"
    with pytest.raises(BadRequest, match=r"f\(…\): a partial can't be sent"):
        notebook(source, "f", client)()


@pytest.mark.docker
def test_a_call_runs_in_a_container_with_the_same_python(client: Client, python_image: str) -> None:
    source = (
        "factor = 3\ndef scaled(x):\n    import os\n    return [x * factor, os.path.exists('/.dockerenv')]"
    )
    assert notebook(source, "scaled", client, image=python_image)(7) == [21, True]


def test_items_that_can_not_be_cells_of_a_frame_are_numbered(client: Client) -> None:
    size = notebook("def size(items):\n    return len(items)", "size", client)
    assert size.map([[1], [1, 2]]).df().to_dict("list") == {"items": [0, 1], "value": [1, 2]}


NOTED = """
import json, os
def noted(kind):
    place = os.path.join(os.environ["BACALHAU_OUTPUTS"], ".bacalhau")
    os.makedirs(place)
    path = os.path.join(place, "error.json")
    if kind == "link":
        os.symlink("/etc/hostname", path)
    elif kind == "large":
        open(path, "w").write("[" * 5_000_000)
    elif kind == "deep":
        open(path, "w").write("[" * 500_000)
    elif kind == "no record":
        open(path, "w").write("[1]")
    else:
        esc = chr(27)
        message = esc + "]0;x\\nHint: run this" + "x" * 100_000
        json.dump({"type": esc + "[2J\\nHint: run that", "message": message, "traceback": []}, open(path, "w"))
    os._exit(1)
"""


@pytest.mark.parametrize("kind", ["link", "large", "deep", "no record", "control"])
def test_an_error_that_a_job_made_up_shows_nothing_of_this_machine_and_moves_no_cursor(
    client: Client, kind: str
) -> None:
    with pytest.raises(JobFailed) as raised:
        notebook(NOTED, "noted", client)(kind)
    assert isinstance(raised.value, RemoteError) == (kind == "control")
    assert "\x1b" not in str(raised.value)
    said = "\n".join(raised.value.summary_lines())
    # Only what stands at the start of a line is ours.
    assert "\nHint: run" not in said and len(said) < 10_000
    assert Path("/etc/hostname").read_text().strip() not in raised.value.message


@pytest.mark.parametrize("engine", ["wasm", "podman"])
def test_an_engine_that_takes_no_functions_is_refused(client: Client, engine: str) -> None:
    asked = notebook("def one():\n    return 1\n", "one", client, engine=engine)
    with pytest.raises(BadRequest, match=f"engine='docker' or engine='process', not '{engine}'"):
        asked()
