"""``--pip`` in a real kernel: cells, notebooks, hints, and requests that can't be met."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.client.notebooks.test_notebooks import cell, notebook
from tests.notebook.conftest import Kernel, Ran
from tests.packages.sdists import make_sdist
from tests.packages.wheels import Index, make_wheel, serving
from tests.services.common import wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def index(kernel: Kernel) -> Iterator[Index]:
    """An index with a few packages, which the kernel's pip is set up for, with a password."""
    with serving(Index()) as served:
        served.user, served.password = "ann", "index-secret"
        served.add(
            make_wheel("good", requires=("needed>=1",), scripts={"good-command": "good:main"}),
            make_wheel("needed", "1.2"),
            make_wheel("needed", "0.9"),
            ("source_only-1.0.tar.gz", b""),
        )
        url = served.url.replace("//", "//ann:index-secret@")
        lines = ["import os", "[os.environ.pop(n) for n in [*os.environ] if n.startswith(('UV_', 'PIP_'))]"]
        kernel.run("\n".join([*lines, f"os.environ['PIP_INDEX_URL'] = {url!r}"]))
        yield served


def test_a_cell_imports_what_it_asked_for_and_says_how_far_it_is(kernel: Kernel, index: Index) -> None:
    code = "import good, needed\nprint(needed.VERSION, good.__file__)\ngood.VERSION"
    ran = kernel.run(f'%%bacalhau python --pip "good>=1" --pip "needed>=1"\n{code}')
    assert ran.status == "ok", ran.traceback
    assert ran.stdout.startswith("1.2 ") and "/.packages/good.py" in ran.stdout
    said = [each.get("text/plain") for each in ran.displays]
    assert "resolving good>=1, needed>=1" in said and "fetching 2 packages" in said and "'1.0'" in said
    requests = len(index.requests)
    again = kernel.run(f'%%bacalhau python --pip "needed>=1" --pip "good>=1"\n{code}')
    assert again.stdout == ran.stdout and len(index.requests) == requests
    assert "index-secret" not in f"{ran}{again}"


def test_commands_and_what_the_body_starts_find_the_packages(kernel: Kernel, index: Index) -> None:
    index.add(
        make_wheel(
            "tool", files={"tool.py": b"def main():\n    print('the tool')\n"}, scripts={"tool": "tool:main"}
        )
    )
    ran = kernel.run("%%bacalhau python --pip tool\n!tool\n!python -c 'import tool; tool.main()'")
    assert ran.stdout.count("the tool") == 2, ran


def test_the_body_s_own_modules_come_before_the_packages(kernel: Kernel, index: Index) -> None:
    kernel.run("from pathlib import Path\nPath('needed.py').write_text('VERSION = \"mine\"')")
    try:
        ran = kernel.run("%%bacalhau python --pip needed\nimport needed\nprint(needed.VERSION)")
        assert ran.stdout == "mine\n", ran
    finally:
        kernel.run("Path('needed.py').unlink()")


def test_the_packages_come_before_those_of_the_kernel(kernel: Kernel, index: Index) -> None:
    index.add(make_wheel("yaml", "9.9", files={"yaml/__init__.py": b"VERSION = 'from the index'\n"}))
    ran = kernel.run("%%bacalhau python --pip yaml\nimport yaml\nprint(yaml.VERSION)")
    assert ran.stdout == "from the index\n", ran


@pytest.mark.docker
def test_a_cell_in_an_image_imports_packages_for_the_image(
    kernel: Kernel, index: Index, python_image: str
) -> None:
    body = "import good, needed\nprint(needed.VERSION, good.__file__)\n!good-command 2>&1 | tail -1"
    ran = kernel.run(f"%%bacalhau python --image {python_image} --pip good\n{body}")
    assert ran.stdout.startswith("1.2 /.packages/good.py\n") and "ImportError" in ran.stdout, ran
    ran = kernel.run(f"%%bacalhau docker {python_image} --pip good -- python\nimport good\ngood.VERSION")
    assert any(each.get("text/plain") == "'1.0'" for each in ran.displays), ran


def test_a_remote_function_imports_packages(kernel: Kernel, index: Index) -> None:
    lines = [
        "from bacalhau_jupyter import remote",
        "@remote(pip=['good'])",
        "def version(extra):",
        "    import needed",
        "    return needed.VERSION + extra",
        "print(version('!'))",
    ]
    ran = kernel.run("\n".join(lines))
    assert "1.2!" in ran.stdout, ran


def test_a_requirements_file_is_read(kernel: Kernel, index: Index) -> None:
    kernel.run("from pathlib import Path\nPath('r.txt').write_text('# ours\\nneeded<1\\n')")
    ran = kernel.run("%%bacalhau python --requirements r.txt\nimport needed\nprint(needed.VERSION)")
    assert ran.stdout == "0.9\n", ran


def test_a_notebook_as_a_job_imports_the_packages_too(kernel: Kernel, index: Index) -> None:
    pytest.importorskip("nbclient")
    text = json.dumps(notebook(cell("import good, needed\nprint('got', needed.VERSION)")))
    kernel.run(f"from pathlib import Path\nPath('pip.ipynb').write_text({text!r})")
    ran = kernel.run("%bacalhau run-notebook pip.ipynb --pip good")
    assert ran.status == "ok" and "got 1.2\n" in ran.stdout, ran


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--pip no-such-thing", "there is no package no-such-thing in the index"),
        ("--pip source-only", "source-only has no wheel for"),
        ("--pip source-only", "--no-binary source-only"),
        ("--pip source-only --no-binary source-only", "needs a credential, and a job that builds"),
        ("--no-binary ':all:'", "--no-binary takes the name of one package"),
        ("--pip 'good[nope]'", "good has no extra nope"),
        ("--pip 'needed>=1' --pip 'needed<1'", "no versions fit together"),
        ("--pip '-r /etc/passwd'", "not options such as '-r'"),
        ("--pip=--index-url=https://u:other-secret@h/", "not options such as '--index-url'"),
        ("--pip 'good @ https://u:other-secret@h/good.whl'", "not files or URLs"),
        ("--pip ./good.whl", "not files or URLs"),
        ("--requirements nothing.txt", "nothing.txt can't be read"),
        ("--requirements empty.txt", "without requirements"),
    ],
)
def test_what_can_not_be_had_is_one_sentence(kernel: Kernel, index: Index, line: str, reason: str) -> None:
    kernel.run("from pathlib import Path\nPath('empty.txt').write_text('# nothing\\n')")
    ran = kernel.run(f"%%bacalhau python {line}\nprint('ran')")
    assert reason in ran.traceback and "secret" not in f"{ran}"
    assert ran.stdout == "" and len(ran.traceback.splitlines()) < 8, ran.traceback


def test_a_source_package_is_built_in_a_job_that_the_cell_names(kernel: Kernel, index: Index) -> None:
    index.add(make_sdist("own_source", "3.0", make_wheel("own_source", "3.0")))
    index.user, index.password = "", ""
    url = index.url.replace("//", "//ann:index-secret@")
    kernel.run(f"import os; os.environ['PIP_INDEX_URL'] = {index.url!r}")
    try:
        ran = kernel.run("%%bacalhau python --no-binary own_source\nimport own_source\nown_source.VERSION")
        said = [each.get("text/plain") or "" for each in ran.displays]
        assert any(text.startswith("building own-source in job j-") for text in said) and "'3.0'" in said, ran
        lines = ["from bacalhau_jupyter import remote", "@remote(no_binary=['own_source'])"]
        lines += ["def version():", "    import own_source", "    return own_source.VERSION", "version()"]
        assert "'3.0'" in f"{kernel.run(chr(10).join(lines)).result}"
    finally:
        index.user, index.password = "ann", "index-secret"
        kernel.run(f"os.environ['PIP_INDEX_URL'] = {url!r}")


def test_a_body_that_is_no_python_takes_no_packages(kernel: Kernel, index: Index) -> None:
    ran = kernel.run("%%bacalhau docker some-image --pip good\necho hello")
    assert "--pip brings packages for a Python body" in ran.traceback


def test_a_missing_module_names_pip_with_the_name_of_its_distribution(kernel: Kernel, index: Index) -> None:
    ran = kernel.run("%%bacalhau python\nimport cv2")
    assert "--pip opencv-python-headless brings it along" in ran.stderr + ran.stdout, ran


def test_a_dry_run_shows_what_is_asked_for_and_fetches_nothing(kernel: Kernel, index: Index) -> None:
    requests = len(index.requests)
    ran = kernel.run("%%bacalhau python --pip never-fetched --dry-run\nprint(1)")
    assert "never-fetched" in f"{ran.result}{ran.stdout}" and len(index.requests) == requests, ran


def test_an_interrupt_while_packages_are_fetched_leaves_no_job_and_no_draft(
    kernel: Kernel, index: Index
) -> None:
    slow = make_wheel("slow")
    index.add(slow)
    index.hold = slow[0]

    def interrupt_once(_ran: Ran) -> None:
        if index.hold and index.held.wait(60):
            index.hold = ""
            kernel.interrupt()

    try:
        ran = kernel.run("%%bacalhau python --pip slow\nprint('ran')", on_output=interrupt_once)
    finally:
        index.release()
    assert "no job was submitted" in ran.traceback, ran
    drafts = kernel.repo.path / "packages" / "drafts"
    assert wait_until(lambda: not any(drafts.iterdir()), timeout_s=60)
