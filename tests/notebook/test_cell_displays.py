"""Displays of Python cells in a real kernel: process jobs and containers."""

from __future__ import annotations

import base64

import pytest

from bacalhau_jupyter.notebook.live.card import MIME
from tests.notebook.conftest import Kernel, Ran
from tests.services.waiting import let_go

pytestmark = pytest.mark.timeout(300)

FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n"
# A job that goes on once `let_go` was called.
HELD = "open('outputs/held', 'w').close()\n"
GOES_ON = "import os, time\nwhile not os.path.exists('outputs/go'):\n    time.sleep(0.1)\n"


def shown(ran: Ran) -> list[dict[str, object]]:
    """What the job displayed, without our own card."""
    return [data for data in ran.displays if MIME not in data]


def test_the_last_value_and_displays_come_in_order(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau python\nprint('first')\ndisplay({'a': 1})\nprint('second')\n[1, 2]")
    assert ran.status == "ok", ran.traceback
    assert ran.stdout == "first\nsecond\n"
    assert [data["text/plain"] for data in shown(ran)] == ["{'a': 1}", "[1, 2]"]
    assert "\x1b_" not in str(kernel.value("_.stdout"))


def test_a_frame_is_shown_as_a_table_in_the_sandbox(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau python\nimport pandas as pd\npd.DataFrame({'n': [1]})")
    (data,) = shown(ran)
    assert str(data["text/html"]).startswith('<iframe sandbox=""')
    assert "&lt;table" in str(data["text/html"])
    assert "0  1" in str(data["text/plain"])


def test_a_plot_comes_while_the_job_runs(kernel: Kernel) -> None:
    pytest.importorskip("matplotlib")

    def go_on(ran: Ran) -> None:
        if any("image/png" in data for data in ran.displays):
            let_go(kernel.repo.path)

    ran = kernel.run(f"%%bacalhau python\n{HELD}{FIGURE}{GOES_ON}", on_output=go_on)
    assert ran.status == "ok", ran.traceback
    (data,) = shown(ran)
    assert base64.b64decode(str(data["image/png"])).startswith(b"\x89PNG")


def test_a_figure_that_is_left_open_is_shown(kernel: Kernel) -> None:
    pytest.importorskip("matplotlib")
    ran = kernel.run("%%bacalhau python\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    assert [sorted(data) for data in shown(ran)] == [["image/png", "text/plain"]]


def test_ipython_s_own_display_works(kernel: Kernel) -> None:
    body = (
        "from IPython.display import HTML, JSON, Markdown, display, update_display\n"
        "display(HTML('<b>bold</b>'), Markdown('# head'), JSON({'a': [1]}))\n"
        "handle = display('before', display_id=True)\nhandle.update('after')"
    )
    ran = kernel.run(f"%%bacalhau python\n{body}")
    html, markdown, tree, before, after = shown(ran)
    assert "&lt;b&gt;bold" in str(html["text/html"])
    assert "&lt;h1&gt;head" in str(markdown["text/html"])
    assert tree["application/json"] == {"a": [1]}
    assert (before["text/plain"], after["text/plain"]) == ("'before'", "'after'")


def test_scripts_widgets_and_our_card_are_never_passed_on(kernel: Kernel) -> None:
    body = (
        "from IPython.display import Javascript, display\n"
        "display(Javascript('alert(1)'))\n"
        "display({'application/vnd.jupyter.widget-view+json': {'model_id': 'x'}, 'text/plain': 'w'}, raw=True)\n"
        f"display({{'{MIME}': {{'job_id': 'j-1'}}, 'text/plain': 'card'}}, raw=True)"
    )
    ran = kernel.run(f"%%bacalhau python\n{body}")
    assert [list(data) for data in shown(ran)] == [["text/plain"]] * 3
    assert all(data.get(MIME, {}).get("job_id") != "j-1" for data in ran.displays)


def test_in_a_container_without_ipython_the_same_works(kernel: Kernel, python_image: str) -> None:
    body = (
        "from IPython.display import HTML, Markdown, display\n"
        "display(HTML('<b>bold</b>'))\nprint('text')\nopen('here.txt', 'w').write('x')\n"
        "import os\nassert os.path.isdir('inputs') and os.path.isdir('outputs')\n"
        "open('outputs/back.txt', 'w').write('y')\n{'a': 1}"
    )
    ran = kernel.run(f"%%bacalhau python --image {python_image}\n{body}")
    assert ran.status == "ok", ran.traceback
    html, value = shown(ran)
    assert "&lt;b&gt;bold" in str(html["text/html"])
    assert value["text/plain"] == "{'a': 1}"
    assert ran.stdout == "text\n"
    assert kernel.value("_.text('back.txt')") == "y"


def test_displays_of_a_container_come_while_it_runs(kernel: Kernel, python_image: str) -> None:
    def go_on(ran: Ran) -> None:
        if shown(ran):
            let_go(kernel.repo.path)

    ran = kernel.run(
        f"%%bacalhau python --image {python_image}\n{HELD}display(1)\n{GOES_ON}", on_output=go_on
    )
    assert ran.status == "ok", ran.traceback
    assert len(shown(ran)) == 1


def test_a_body_can_write_where_it_stands(kernel: Kernel) -> None:
    body = (
        "import os\nopen('scratch.txt', 'w').write('x')\n"
        "print(sorted(os.listdir('.')), os.path.isdir('inputs'))\n"
        "open('outputs/back.txt', 'w').write('y')"
    )
    ran = kernel.run(f"%%bacalhau python\n{body}")
    assert ran.status == "ok", ran.traceback
    assert ran.stdout == "['inputs', 'outputs', 'scratch.txt'] True\n"
    assert kernel.value("_.ls('outputs/*')") == ["outputs/back.txt"]


def test_a_shell_body_can_write_where_it_stands(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh\necho x > scratch; cat scratch; find inputs -name cell.sh | wc -l")
    assert ran.status == "ok", ran.traceback
    assert ran.stdout.split() == ["x", "1"]


@pytest.mark.parametrize("image", ["", "container"])
def test_modules_beside_the_notebook_travel(kernel: Kernel, python_image: str, image: str) -> None:
    kernel.run("open('beside.py', 'w').write('import deeper.inner as inner\\nA = inner.B\\n')")
    kernel.run("import os; os.makedirs('deeper', exist_ok=True)\nopen('deeper/__init__.py', 'w').close()")
    kernel.run("open('deeper/inner.py', 'w').write('B = 5')")
    where = f" --image {python_image}" if image else ""
    ran = kernel.run(f"%%bacalhau python{where}\nimport beside\nbeside.A")
    assert ran.status == "ok", ran.traceback
    assert shown(ran)[0]["text/plain"] == "5"


def test_an_attached_job_shows_its_displays_again(kernel: Kernel) -> None:
    kernel.run("%%bacalhau python --detach\ndisplay('again')\nprint('text')")
    kernel.run("job = _\njob.wait()")
    ran = kernel.run("get_ipython().run_line_magic('bacalhau', f'attach {job.short_id}')")
    assert [data["text/plain"] for data in shown(ran)] == ["'again'"]
    assert kernel.value("''.join(job.logs())") == "'again'\ntext\n"
    assert kernel.value("job.printed('stdout')") == "'again'\ntext\n"


def test_a_python_body_runs_in_a_container_by_its_first_word(kernel: Kernel, python_image: str) -> None:
    ran = kernel.run(f"%%bacalhau docker {python_image} -- python one two\nimport sys\nsys.argv[1:]")
    assert [data["text/plain"] for data in shown(ran)] == ["['one', 'two']"], ran.traceback
    refused = kernel.run(f"%%bacalhau docker {python_image}\nimport sys\nprint(sys.argv)")
    assert "the body is Python, but sh would run it" in refused.traceback
    assert "#!/usr/bin/env python3" in refused.traceback


def test_an_image_without_python_says_so(kernel: Kernel, busybox_image: str) -> None:
    ran = kernel.run(f"%%bacalhau python --image {busybox_image}\n1")
    assert "this image holds no Python" in ran.stderr + ran.traceback


def test_lines_of_a_traceback_are_those_of_the_cell(kernel: Kernel) -> None:
    ran = kernel.run("\n\n%%bacalhau python\n\n1 / 0")
    assert 'File "cell.py", line 5, in <module>' in ran.stderr
    assert ran.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert ran.stderr.count("Traceback") == 1
