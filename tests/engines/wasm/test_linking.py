"""Modules that import from modules: found among the inputs, made in order, each once."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.wasm import linking
from bacalhau_jupyter.engines.wasm.linking import MOST_MODULES, Linking
from bacalhau_jupyter.engines.wasm.params import WasmParams
from bacalhau_jupyter.engines.wasm.places import Found, find
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.contract import InputMount
from tests.engines.wasm.bench import Bench, compiled, printing, wasi
from tests.services.waiting import until

SEVEN = compiled('(module (func (export "number") (result i32) (i32.const 7)))')


def exits_with(module: str) -> bytes:
    """Return a program whose exit code is the ``number`` of another module."""
    return wasi(
        '(func (export "_start") (call $exit (call $number)))',
        f'(import "{module}" "number" (func $number (result i32)))',
    )


def adding(module: str) -> bytes:
    """Return a module whose ``number`` is one more than another one's."""
    return compiled(f"""(module (import "{module}" "number" (func $number (result i32)))
      (func (export "number") (result i32) (i32.add (i32.const 1) (call $number))))""")


@pytest.mark.parametrize(
    ("name", "target"),
    [("seven.wasm", "/seven.wasm"), ("seven.wasm", "seven.wasm"), ("/lib/seven.wasm", "/lib/seven.wasm")],
)
async def test_an_import_is_found_by_its_name_among_the_inputs(bench: Bench, name: str, target: str) -> None:
    result = await bench.run(exits_with(name), inputs={target: bench.file("seven", SEVEN)})
    assert (result.outcome.exit_code, result.error) == (7, "")


async def test_imports_of_imports_are_found_too(bench: Bench) -> None:
    inputs = {"/one": bench.file("one", adding("two")), "/two": bench.file("two", adding("seven"))}
    result = await bench.run(exits_with("one"), inputs={**inputs, "/seven": bench.file("seven", SEVEN)})
    assert (result.outcome.exit_code, result.error) == (9, "")


async def test_a_module_that_two_others_import_from_is_made_once(bench: Bench) -> None:
    counter = compiled("""(module (global $n (mut i32) (i32.const 0))
      (func (export "number") (result i32)
        (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))""")
    module = wasi(
        '(func (export "_start") (drop (call $a)) (drop (call $b)) (call $exit (call $c)))',
        '(import "a" "number" (func $a (result i32)))',
        '(import "b" "number" (func $b (result i32)))',
        '(import "count" "number" (func $c (result i32)))',
    )
    inputs = {
        "/a": bench.file("a", adding("count")),
        "/b": bench.file("b", adding("count")),
        "/count": bench.file("count", counter),
    }
    assert (await bench.run(module, inputs=inputs)).outcome.exit_code == 3


async def test_a_directory_stands_for_the_one_module_in_it(bench: Bench, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / "some.wasm").write_bytes(printing("from the directory"))
    (packed / "README").write_bytes(b"")
    result = await bench.run(inputs={"main.wasm": packed}, EntryModule="main.wasm")
    assert result.stdout == "from the directory"
    (packed / "other.wasm").write_bytes(SEVEN)
    with pytest.raises(EngineError, match=r"the directory 'main.wasm' holds 2 .wasm files, not one"):
        await bench.engine.start(bench.request(inputs={"main.wasm": packed}, EntryModule="main.wasm"))


async def test_a_module_lies_below_the_target_of_an_input(bench: Bench, tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    (lib / "deep").mkdir(parents=True)
    (lib / "deep" / "seven.wasm").write_bytes(SEVEN)
    options = {"inputs": {"/lib": lib}, "ImportModules": ["/lib/deep/seven.wasm"]}
    assert (await bench.run(exits_with("/lib/deep/seven.wasm"), **options)).outcome.exit_code == 7
    # Officially a module is known by what the spec calls it, too.
    options["ImportModules"] = ["lib/deep/seven.wasm"]
    assert (await bench.run(exits_with("lib/deep/seven.wasm"), **options)).outcome.exit_code == 7


async def test_no_link_leads_to_a_module(bench: Bench, tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    (tmp_path / "seven.wasm").write_bytes(SEVEN)
    (lib / "seven.wasm").symlink_to("../seven.wasm")
    with pytest.raises(EngineError, match=r"unknown module 'lib/seven.wasm'"):
        await bench.engine.start(bench.request(exits_with("lib/seven.wasm"), inputs={"/lib": lib}))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is not a WebAssembly module"),
        (b"hello", "is not a WebAssembly module"),
        (b'(module (func (export "_start")))', r"is WebAssembly text: compile it to a .wasm file first"),
        (b"\0asm\x0d\0\1\0", r"is a WebAssembly component, and this engine runs core modules"),
        (b"\0asm\x02\0\0\0", "is WebAssembly of a version that this engine does not know"),
        (b"\0asm\1\0\0\0\1\1\1", r"failed to compile module at '/main.wasm'"),
        (printing("x")[:-5], r"failed to compile module at '/main.wasm'"),
    ],
)
async def test_what_is_no_module_is_refused_for_good_in_a_sentence(
    bench: Bench, content: bytes, text: str
) -> None:
    with pytest.raises(EngineError, match=text) as error:
        await bench.engine.start(bench.request(content))
    assert error.value.fails_job and "\n" not in error.value.message
    assert await bench.engine.existing() == []


async def test_an_unresolved_import_is_named_with_the_module_that_wants_it(bench: Bench) -> None:
    with pytest.raises(
        EngineError, match=r"unknown module 'nowhere', which /main.wasm imports from"
    ) as error:
        await bench.engine.start(bench.request(exits_with("nowhere")))
    assert error.value.hint.endswith("an input with the target /nowhere")


async def test_a_function_that_a_module_does_not_export_is_named(bench: Bench) -> None:
    empty = bench.file("empty", compiled("(module)"))
    result = await bench.run(exits_with("empty"), inputs={"/empty": empty})
    assert result.error == (
        "the module can't be started: unknown import: `empty::number` has not been defined"
    )


async def test_modules_that_import_from_each_other_are_refused(bench: Bench) -> None:
    inputs = {"/a": bench.file("a", adding("b")), "/b": bench.file("b", adding("a"))}
    with pytest.raises(EngineError, match=r"the modules /main.wasm, /a, /b, /a import from each other"):
        await bench.engine.start(bench.request(exits_with("a"), inputs=inputs))


async def test_a_chain_of_modules_has_an_end(bench: Bench) -> None:
    inputs = {
        f"/m{number}": bench.file(f"m{number}", adding(f"m{number + 1}"))
        for number in range(MOST_MODULES + 5)
    }
    with pytest.raises(EngineError, match=f"the job has more than {MOST_MODULES} modules"):
        await bench.engine.start(bench.request(exits_with("m0"), inputs=inputs))


async def test_names_of_a_module_fill_no_error(bench: Bench) -> None:
    long = "x" * 100_000
    imports = compiled(f'(module (import "{long}" "f" (func)))')
    exports = compiled(f'(module (func (export "{long}")))')
    for module in (imports, exports):
        with pytest.raises(EngineError) as error:
            await bench.run(module)
        assert len(error.value.message) + len(error.value.hint) < 2000


async def test_of_the_functions_of_a_module_only_those_that_matter_are_kept(bench: Bench) -> None:
    many = " ".join(f'(func (export "f{number}"))' for number in range(1000))
    module = compiled(f'(module {many} (func (export "wanted")) (func (export "_initialize")))')
    path = bench.file("many", module)
    linking = Linking(
        [InputMount(path, "/main.wasm")], bench.engine.compiler, has_network=False, progress=lambda _: None
    )
    program = await linking.program(WasmParams(entry_module="/main.wasm", entrypoint="wanted"))
    (entry,) = program.modules
    assert entry.set_up and len(entry.compiled.functions) < 20


async def test_a_start_that_is_cancelled_while_a_module_is_opened_leaves_it_closed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_open, go_on, files = threading.Event(), threading.Event(), list[Found]()

    def find_slowly(inputs: Sequence[InputMount], name: str) -> Found:
        files.append(find(inputs, name))
        is_open.set()
        assert go_on.wait(60)
        return files[0]

    monkeypatch.setattr(linking, "find", find_slowly)
    starting = asyncio.create_task(bench.engine.start(bench.request(SEVEN)))
    await until(is_open.is_set)
    own = os.fstat(files[0].descriptor)

    starting.cancel()
    asyncio.get_running_loop().call_later(0.01, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await starting

    def is_closed() -> bool:
        try:
            return not os.path.samestat(os.fstat(files[0].descriptor), own)
        except OSError:
            return True

    await until(is_closed)
