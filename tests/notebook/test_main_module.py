"""A Python body is a real file that is ``__main__``, in the process engine and in containers."""

from __future__ import annotations

from pathlib import Path

from tests.notebook.bodies import run
from tests.notebook.conftest import Kernel

WHOLE = """
import inspect, multiprocessing as mp, pickle, sys
from concurrent.futures import ProcessPoolExecutor

def square(x):
    return x * x + offset

class Point:
    def __init__(self, x):
        self.x = x

def moved(point):
    return Point(point.x + offset)

print("run as", __name__)
if __name__ == "__main__":
    print(sys.modules["__main__"].__file__ == __file__, open(__file__).read().count("def square"))
    print(inspect.getsource(square) == "def square(x):\\n    return x * x + offset\\n")
    print(pickle.loads(pickle.dumps(square)) is square, pickle.loads(pickle.dumps(Point(1))).x)
    for method in METHODS:
        with ProcessPoolExecutor(1, mp_context=mp.get_context(method)) as pool:
            print(method, list(pool.map(square, [3])), pool.submit(moved, Point(1)).result().x)
    answer = square(2)
"""
METHODS = ["fork", "spawn", "forkserver"]


def assert_whole(printed: str, methods: list[str]) -> None:
    lines = printed.split("\n")
    assert lines.count("run as __main__") == 1
    assert lines.count("run as __mp_main__") == len(set(methods) - {"fork"}), (
        "spawned processes import it once each"
    )
    assert "True 1" in lines
    assert "True" in lines, "inspect.getsource"
    assert "True 1" in lines[2:], "pickle"
    for method in methods:
        assert f"{method} [19] 11" in lines


def test_functions_of_a_body_go_to_other_processes(tmp_path: Path) -> None:
    done = run(
        tmp_path, WHOLE.replace("METHODS", repr(METHODS)), variables={"offset": 10}, output_names=["answer"]
    )
    assert done.returncode == 0, done.stderr
    assert_whole(done.stdout, METHODS)
    assert (tmp_path / "outputs" / ".bacalhau" / "answer.json").read_text() == "14"


def test_a_body_without_guard_fails_with_a_message_instead_of_forking_for_ever(tmp_path: Path) -> None:
    body = "import multiprocessing as mp\nmp.get_context('spawn').Process(target=print).start()"
    done = run(tmp_path, body)
    assert 'if __name__ == "__main__"' in done.stderr or "if __name__ == '__main__'" in done.stderr


def test_the_lines_of_a_traceback_are_the_cell_s(tmp_path: Path) -> None:
    done = run(tmp_path, "\n\nx = 1\n\nraise ValueError('mine')\n")
    assert done.returncode == 1
    assert 'File "cell.py", line 5, in <module>' in done.stderr
    assert "raise ValueError('mine')" in done.stderr
    assert "job_runner" not in done.stderr
    done = run(tmp_path, "\nx = (")
    assert 'File "cell.py", line 2' in done.stderr
    assert "SyntaxError" in done.stderr


def test_a_body_s_namespace_is_its_own(tmp_path: Path) -> None:
    body = "print(sorted(name for name in globals() if not name.startswith('__')), __builtins__.len([1]), sys.argv)"
    done = run(tmp_path, "import sys\n" + body, variables={"n": 1})
    assert done.stdout == f"['n', 'sys'] 1 ['{tmp_path}/inputs/.bacalhau/cell.py']\n", done


def test_a_cell_s_functions_go_to_spawned_processes_of_a_process_job(kernel: Kernel) -> None:
    methods = ["fork", "spawn"]
    kernel.run("offset = 10")
    ran = kernel.run("%%bacalhau python --in offset --out answer\n" + WHOLE.replace("METHODS", repr(methods)))
    assert_whole(ran.stdout, methods)
    assert kernel.run("print(answer)").stdout == "14\n"


def test_a_cell_s_functions_go_to_spawned_processes_in_a_container(kernel: Kernel, python_image: str) -> None:
    kernel.run("offset = 10")
    body = WHOLE.replace("METHODS", repr(METHODS))
    ran = kernel.run(f"%%bacalhau python --image {python_image} --in offset --out answer\n{body}")
    assert_whole(ran.stdout, METHODS)
    assert kernel.run("print(answer)").stdout == "14\n"
