"""``binder/``: the steps that repo2docker takes, in a clean environment, and the quickstart in what they made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
# What Binder clones: the checkout without what is built in it.
NOT_CLONED = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "__pycache__", ".*_cache", ".hypothesis", ".yarn", "build", "dist"
)
NO_DOCKER = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


def wanted() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true") or bool(
        os.environ.get("BACALHAU_JUPYTER_BINDER")
    )


def test_repo2docker_finds_what_it_looks_for() -> None:
    assert re.fullmatch(r"python-3\.(1[1-9])\n", (BINDER / "runtime.txt").read_text())
    for name in ("postBuild", "start"):
        script = BINDER / name
        assert os.access(script, os.X_OK), f"{name} must be executable"
        assert script.read_text().startswith("#!")
        subprocess.run(["bash", "-n", script], check=True, timeout=60)
    assert 'exec "$@"' in (BINDER / "start").read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not wanted(), reason="installs everything anew (CI, or BACALHAU_JUPYTER_BINDER=1)")
def test_the_build_steps_work_and_the_quickstart_runs_without_docker(tmp_path: Path) -> None:
    checkout = tmp_path / "home"
    shutil.copytree(ROOT, checkout, ignore=NOT_CLONED, symlinks=True)
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    private = ("BACALHAU_", "JUPYTER", "JPY_", "PYTHON", "VIRTUAL_ENV", "DOCKER_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(private)}
    path = f"{python.parent}{os.pathsep}{kept['PATH']}"
    env = {**kept, **NO_DOCKER, "PATH": path, "HOME": str(checkout), "TMPDIR": str(tmp_path)}
    # Ten thousand modules come, and few of them run here.
    env["PIP_COMPILE"] = "0"

    def step(*words: str | Path, timeout_s: float = 300) -> str:
        done = subprocess.run(
            words, cwd=checkout, env=env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout

    step(python, "-m", "pip", "install", "--quiet", "-r", "binder/requirements.txt")
    step(checkout / "binder" / "postBuild", timeout_s=600)
    shown = step(
        checkout / "binder" / "start",
        python.with_name("bacalhau-jupyter"),
        "demo",
        "notebooks/quickstart.ipynb",
        timeout_s=180,
    )
    assert "Every cell ran" in shown
    assert "process (" in shown, "the embedded engine did the work"
    assert (tmp_path / f"bacalhau-{os.getuid()}").is_dir()
