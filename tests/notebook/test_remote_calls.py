"""Remote calls in a real kernel: what they display, and calls that are awaited."""

from __future__ import annotations

import base64

import pytest

from tests.notebook.conftest import Kernel

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def plain(kernel: Kernel) -> Kernel:
    """A kernel that has imported ``remote``; the extension is not loaded."""
    kernel.run("%unload_ext bacalhau_jupyter")
    assert kernel.run("from bacalhau_jupyter import remote").status == "ok"
    return kernel


def test_displays_of_a_call_are_shown_in_order_with_its_text(plain: Kernel) -> None:
    plain.run(
        "@remote\ndef shows(x):\n    print('before')\n    display({'x': x})\n    print('after')\n    return x + 1"
    )
    ran = plain.run("shows(1)")
    assert ran.outputs == ["stdout", "display", "stdout", "result"], ran.traceback
    assert ran.displays[0]["text/plain"] == "{'x': 1}"
    assert ran.stdout == "before\nafter\n"
    assert ran.result["text/plain"] == "2"


def test_a_plot_of_a_call_is_a_picture(plain: Kernel) -> None:
    pytest.importorskip("matplotlib")
    plain.run(
        "@remote\ndef plots():\n    import matplotlib.pyplot as plt\n    plt.plot([1, 2])\n    plt.show()"
    )
    ran = plain.run("plots()")
    assert ran.status == "ok", ran.traceback
    pictures = [data["image/png"] for data in ran.displays if "image/png" in data]
    assert len(pictures) == 1
    assert base64.b64decode(pictures[0]).startswith(b"\x89PNG")


def test_a_call_can_not_display_what_a_cell_could_not(plain: Kernel) -> None:
    plain.run(
        "@remote\ndef hostile():\n"
        "    display({'application/javascript': 'alert(1)', 'text/html': '<script>1</script>'}, raw=True)"
    )
    ran = plain.run("hostile()")
    (data,) = ran.displays
    assert "application/javascript" not in data
    assert data["text/html"].startswith('<iframe sandbox=""')


def test_long_output_of_a_call_is_folded(plain: Kernel) -> None:
    plain.run("@remote\ndef long():\n    for number in range(600):\n        print(number)")
    ran = plain.run("long()")
    assert "400 of 600 lines left out; all of it: bacalhau-jupyter job logs j-" in ran.stdout
    assert ran.stdout.endswith("598\n599\n")


def test_calls_are_awaited_side_by_side(plain: Kernel) -> None:
    plain.run("@remote\ndef doubled(x):\n    return 2 * x")
    ran = plain.run("import asyncio\nawait asyncio.gather(doubled.aio(1), doubled.aio(x=2))")
    assert ran.result.get("text/plain") == "[2, 4]", ran.traceback


def test_an_awaited_call_raises_what_the_call_would(plain: Kernel) -> None:
    plain.run("@remote\ndef fails():\n    raise ValueError('no luck')")
    ran = plain.run("await fails.aio()")
    assert ran.error["ename"] == "RemoteError"
    assert "fails raised ValueError: no luck" in ran.traceback


def test_a_call_that_is_awaited_no_longer_is_stopped(plain: Kernel) -> None:
    plain.run("@remote\ndef sleeps():\n    import time\n    time.sleep(600)")
    plain.run("from bacalhau_jupyter import Client\nclient = Client()")
    ran = plain.run(
        "import asyncio\ncall = asyncio.ensure_future(sleeps.aio())\n"
        "while 'Running' not in [job.state.state_type.value for job in client.jobs(limit=1)]:\n"
        "    await asyncio.sleep(0.1)\n"
        "await asyncio.wait_for(call, 0.5)"
    )
    assert ran.error["ename"] == "TimeoutError"
    plain.run("newest = client.jobs(limit=1)[0]")
    assert plain.value("newest.state.state_type.value") == "Stopped"
