"""No module imports itself through others, not even for type checking: each file can be read on its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import bacalhau_jupyter

PACKAGE = Path(bacalhau_jupyter.__file__).parent


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


def cycle(sources: dict[str, str]) -> list[str]:
    """Return the modules of one cycle; empty where there is none."""
    names = set(sources)
    graph = {name: set(imports_of(source, names)) - {name} for name, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
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
