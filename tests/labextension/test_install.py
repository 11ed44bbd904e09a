"""A wheel is built without Node.js on the machine, and installing it is enough for both halves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.services.common import in_ci

ROOT = Path(__file__).parents[2]
NODE = {"node", "nodejs", "npm", "npx", "corepack", "yarn", "jlpm", "jupyter-builder"}
BUILD_TIMEOUT_S = 1500
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "__pycache__", ".*_cache", "*.egg-info", "tests", "docs"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(BUILD_TIMEOUT_S + 300),
    pytest.mark.skipif(
        not in_ci() and os.environ.get("BACALHAU_JUPYTER_INSTALL_TEST") != "1",
        reason="takes minutes and a download; CI=true or BACALHAU_JUPYTER_INSTALL_TEST=1 runs it",
    ),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of this checkout that never saw Node.js."""
    base = tmp_path_factory.mktemp("wheel")
    copy = base / "checkout"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    for built in ("bacalhau_jupyter/labextension", "bacalhau_jupyter/webui", "labextension/lib"):
        shutil.rmtree(copy / built, ignore_errors=True)
    path = path_without_node(base / "bin")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(base / "out"), str(copy)]
    done = subprocess.run(
        command,
        # What comes to build with runs once.
        env={**os.environ, "PATH": path, "PIP_COMPILE": "0"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    (wheel_path,) = (base / "out").glob("bacalhau_jupyter-*.whl")
    return wheel_path


def path_without_node(directory: Path) -> str:
    """Return a PATH with every program of this machine but those of Node.js."""
    directory.mkdir()
    for place in ("/usr/local/bin", "/usr/bin", "/bin"):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            link = directory / program.name
            if program.name not in NODE and not link.is_symlink():
                link.symlink_to(program)
    assert shutil.which("node", path=str(directory)) is None
    return str(directory)


def test_the_wheel_carries_the_built_labextension(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shared = [name.split(".data/data/", 1)[1] for name in names if ".data/data/" in name]
    place = "share/jupyter/labextensions/bacalhau-jupyter"
    assert f"{place}/install.json" in shared
    assert f"{place}/package.json" in shared
    assert any(name.startswith(f"{place}/static/remoteEntry.") for name in shared)
    assert {"bacalhau_jupyter/webui/index.html", "bacalhau_jupyter/webui/page.js"} <= set(names)
    assert "etc/jupyter/jupyter_server_config.d/bacalhau_jupyter.json" in shared
    assert not [name for name in names if "node_modules" in name or name.startswith("labextension/")]


def test_installing_the_wheel_enables_both_halves(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=120)
    python = venv / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        f"--python={python}",
        "install",
        "--no-deps",
        "--quiet",
        str(wheel),
    ]
    subprocess.run(install, check=True, timeout=300)
    # JupyterLab itself is borrowed from this environment: plain path entry, so that our editable install stays out.
    (site,) = (venv / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY_"))}
    environment |= {
        "HOME": str(tmp_path),
        "JUPYTER_PLATFORM_DIRS": "0",
        "JUPYTER_CONFIG_DIR": str(tmp_path / "c"),
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [python, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    where = run("-c", "import bacalhau_jupyter; print(bacalhau_jupyter.__file__)")
    assert str(venv) in where
    server = run("-c", "from jupyter_server.extension.serverextension import main; main()", "list")
    assert "bacalhau_jupyter enabled" in plain(server)
    assert re.search(r"bacalhau_jupyter \S+ OK", plain(server)), server
    lab = plain(run("-c", "from jupyterlab.labextensions import main; main()", "list"))
    assert str(venv / "share" / "jupyter" / "labextensions") in lab
    version = json.loads((ROOT / "labextension" / "package.json").read_text())["version"]
    assert f"bacalhau-jupyter v{version} enabled" in lab


def plain(text: str) -> str:
    """Remove colour codes."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
