"""No module imports itself through others, not even for type checking: each file can be read on its own."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import bacalhau_jupyter

PACKAGE = Path(bacalhau_jupyter.__file__).parent
FRONT_END = Path(__file__).parents[1] / "labextension" / "src"


def imports_of(source: str, modules: set[str]) -> Iterator[str]:
    """Yield the modules of ours that a source imports when it is loaded or type checked, not inside functions."""
    for node in _outside_functions(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules or node.module in modules:
                    yield inner if inner in modules else node.module


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _outside_functions(child)


def imports_of_typescript(source: str, file: str, files: set[str]) -> Iterator[str]:
    """Yield the files of ours that a TypeScript file imports, for values or for types."""
    for target in re.findall(r"(?:\bfrom|\bimport)\s*\(?\s*'(\.[^']+)'", source):
        base = os.path.normpath(f"{Path(file).parent}/{target}")
        yield from files.intersection((f"{base}.ts", f"{base}.tsx", f"{base}/index.ts"))


def cycle(sources: dict[str, str]) -> list[str]:
    """Return the modules of one cycle; empty where there is none."""
    names = set(sources)
    return cycle_of({name: set(imports_of(source, names)) for name, source in sources.items()})


def cycle_of_typescript(sources: dict[str, str]) -> list[str]:
    """Return the files of one cycle; empty where there is none."""
    names = set(sources)
    return cycle_of(
        {name: set(imports_of_typescript(source, name, names)) for name, source in sources.items()}
    )


def cycle_of(graph: dict[str, set[str]]) -> list[str]:
    """Return the nodes of one cycle of a graph; empty where there is none."""
    try:
        TopologicalSorter({name: targets - {name} for name, targets in graph.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_through_others() -> None:
    sources = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
    }
    assert cycle(sources) == []


def test_a_cycle_is_found() -> None:
    assert cycle({"a": "from b import x", "b": "if TYPE_CHECKING:\n    import a", "c": "import a"}) != []
    assert cycle({"a": "from b import x", "b": "def f():\n    import a"}) == []


def test_no_file_of_the_front_end_imports_itself_through_others() -> None:
    sources = {
        path.relative_to(FRONT_END).as_posix(): path.read_text(encoding="utf-8")
        for path in FRONT_END.rglob("*.ts*")
    }
    assert len(sources) > 50
    assert cycle_of_typescript(sources) == []


def test_a_cycle_of_the_front_end_is_found() -> None:
    there = "import { B } from '../x/b';"
    assert cycle_of_typescript({"y/a.ts": there, "x/b.tsx": "export { A } from '../y/a';"}) != []
    assert cycle_of_typescript({"y/a.ts": there, "x/b.tsx": "import * as React from 'react';"}) == []
