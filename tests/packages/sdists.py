"""Source packages made in a test, with a build of their own (PEP 517, in the tree): good ones and hostile ones."""

from __future__ import annotations

import base64
import io
import tarfile

BACKEND = """
import base64, os, subprocess, sys
NAME, CONTENT = {name!r}, base64.b64decode({content!r})
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
{body}
    with open(os.path.join(wheel_directory, NAME), "wb") as file:
        file.write(CONTENT)
    return NAME
"""


def make_sdist(name: str, version: str, wheel: tuple[str, bytes], body: str = "pass") -> tuple[str, bytes]:
    """Return the file name and content of a source package whose build leaves a wheel.

    Parameters
    ----------
    wheel
        File name and content of what the build leaves.
    body
        Python that the build runs first.
    """
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    content = base64.b64encode(wheel[1]).decode()
    backend = BACKEND.format(name=wheel[0], content=content, body=indented)
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "backend.py": backend,
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return f"{name}-{version}.tar.gz", out.getvalue()
