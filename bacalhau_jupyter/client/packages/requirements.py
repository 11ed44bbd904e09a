"""What may stand after ``--pip`` and in a file of ``--requirements``: names with versions, and nothing else.

Options, URLs and paths are refused: they would read files, or make the resolver run code or speak to anybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError
from bacalhau_jupyter.models.names import shown

if TYPE_CHECKING:
    from packaging.requirements import Requirement

MAX_REQUIREMENTS = 1000
_MAX_FILE = 1_000_000
_MAX_LINE = 2000
_HASH = re.compile(r"\s--hash[= ](sha256:[0-9a-fA-F]{64})")
_PATH = re.compile(r"^[./~]|^[A-Za-z]:\\|/|\\|\.whl\b|\.tar\.gz\b")

_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")

INSTALL = "pip install 'bacalhau-jupyter[pip]'"


@dataclass(frozen=True)
class Required:
    """One requirement.

    Attributes
    ----------
    text
        In its one spelling.
    name
        Of the distribution, in its one spelling.
    hashes
        ``sha256:…`` of the files that may be taken; empty: any.
    is_built
        Whether its source package is taken and built inside a job.
    """

    text: str
    name: str
    hashes: tuple[str, ...] = ()
    is_built: bool = False


def parse(lines: Iterable[str], *, what: str = "--pip") -> list[Required]:
    """Read requirements.

    Raises
    ------
    BadRequest
        A text is not a requirement, or this kind of requirement is refused.
    """
    return [_required(line, what) for line in lines]


def read_file(path: str | Path) -> list[Required]:
    """Read a requirements file.

    Raises
    ------
    BadRequest
        It can't be read, or a line of it is not taken.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise BadRequest(f"--requirements {shown(str(path))} can't be read: {error.strerror}") from None
    return read_bytes(data, str(path))


def read_bytes(data: bytes, path: str) -> list[Required]:
    """Read the content of a requirements file; `path` is for messages. Raises as `read_file` does."""
    what = f"--requirements {shown(path)}"
    if len(data) > _MAX_FILE:
        raise BadRequest(f"{what} is too large to be a list of requirements")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest(f"{what} is not UTF-8 text", hint="save it as UTF-8") from None
    name = Path(path).name
    lines = _logical_lines(text)
    if len(lines) > MAX_REQUIREMENTS:
        raise _too_many(f"{what} has {len(lines)} requirements, and ")
    required = [_required(line, f"{name}, line {number}") for number, line in lines]
    if not required:
        raise BadRequest(f"{what} is a file without requirements")
    return required


def with_builds(required: Sequence[Required], names: Sequence[str]) -> list[Required]:
    """Return requirements, those with a name of ``--no-binary`` marked; a name that none of them has joins them.

    Raises
    ------
    BadRequest
        A name is not valid.
    """
    if not names:
        return list(required)
    built = {_built_name(name) for name in names}
    marked = [replace(each, is_built=each.name in built) for each in required]
    joining = sorted(built - {each.name for each in required})
    return [*marked, *(Required(name, name, is_built=True) for name in joining)]


def _built_name(text: str) -> str:
    if not _DISTRIBUTION.fullmatch(text):
        raise BadRequest(
            f"--no-binary takes the name of one package, not {shown(text[:80])!r}",
            hint="write it once for each; versions stand behind --pip",
        )
    from packaging.utils import canonicalize_name

    return canonicalize_name(text)


def with_file(text: str, url: str) -> str:
    """Return a requirement for the file at a URL: extras and the condition stay, the versions are the file's."""
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras} @ {url}" + (f" ; {requirement.marker}" if requirement.marker else "")


def combined(first: Sequence[Required], second: Sequence[Required]) -> list[Required]:
    """Return all requirements, each once, in order of their text.

    Raises
    ------
    BadRequest
        There are too many.
    """
    every = sorted({*first, *second}, key=lambda each: (each.text, each.hashes))
    if len(every) > MAX_REQUIREMENTS:
        raise _too_many()
    return every


def _too_many(before: str = "") -> BadRequest:
    return BadRequest(
        f"{before}a job takes at most {MAX_REQUIREMENTS} requirements",
        hint="name what the code imports: what that needs comes along",
    )


def _logical_lines(text: str) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    pending, begun = "", 0
    for number, line in enumerate([*text.splitlines(), ""], 1):
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        begun = begun if pending else number
        pending = f"{pending} {bare}".strip()
        if pending.endswith("\\"):
            pending = pending[:-1].rstrip()
            continue
        if pending:
            lines.append((begun, pending))
        pending = ""
    return lines


def _required(line: str, what: str) -> Required:
    text = line.strip()
    hashes = tuple(sorted({each.lower() for each in _HASH.findall(text)}))
    bare = _HASH.sub("", text).strip()
    if len(bare) > _MAX_LINE or not bare.isprintable():
        raise BadRequest(f"{what}: this is no requirement: {shown(bare[:80])!r}")
    if bare.startswith("-") or " -" in bare:
        option = _option(bare)
        if option == "--hash":
            raise BadRequest(
                f"{what}: only hashes of SHA-256 are taken", hint="--hash=sha256:… and 64 digits"
            )
        raise BadRequest(
            f"{what} takes names of packages, not options such as {option!r}", hint=_hint_for(option)
        )
    if not bare:
        raise BadRequest(f"{what}: the requirement is empty", hint='name a package, such as "polars>=1"')
    requirement = _parsed(bare, what)
    if requirement.url:
        raise _refused_place(what, requirement.name)
    if "===" in str(requirement.specifier):
        raise BadRequest(f"{what}: {requirement.name} uses ===, which compares text", hint="use ==")
    from packaging.utils import canonicalize_name

    return Required(_spelled(requirement), canonicalize_name(requirement.name), hashes)


def _hint_for(option: str) -> str:
    if option in ("-r", "--requirement", "--requirements"):
        return "name each file with a --requirements of its own"
    if option in ("-c", "--constraint", "--constraints"):
        return "write the versions beside the names"
    if option in ("-e", "--editable"):
        return "modules beside the notebook travel with the cell that imports them"
    return "an index is set as for pip and uv: PIP_INDEX_URL, UV_DEFAULT_INDEX, pip.conf"


def _parsed(text: str, what: str) -> Requirement:
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        raise ConfigurationError("--pip needs the package packaging", hint=INSTALL) from None
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        if _PATH.search(text):
            raise _refused_place(what, "") from None
        reason = str(error).splitlines()[0] if str(error) else "it can't be read"
        raise BadRequest(
            f"{what}: {shown(text[:80])!r} is no requirement: {reason}",
            hint='a requirement is a name with versions, such as "polars>=1"; write --pip once for each',
        ) from None


def _spelled(requirement: Requirement) -> str:
    """Return a requirement in one spelling: equal ones have equal texts."""
    from packaging.utils import canonicalize_name

    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    versions = ",".join(sorted(str(each) for each in requirement.specifier))
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    return f"{canonicalize_name(requirement.name)}{extras}{versions}{marker}"


def _option(text: str) -> str:
    """Return the option's name alone: its value may be a secret."""
    word = next(each for each in text.split() if each.startswith("-"))
    return word.partition("=")[0][:40]


def _refused_place(what: str, name: str) -> BadRequest:
    # The place is not repeated: a URL may hold a password.
    return BadRequest(
        f"{what} takes packages of an index by their names, not files or URLs"
        + (f" ({name})" if name else ""),
        hint="put the wheel into a directory and name that as PIP_FIND_LINKS, or send it with -i",
    )
