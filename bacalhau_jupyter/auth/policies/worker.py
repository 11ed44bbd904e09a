"""The process that evaluates one policy with the built-in engine: a line of JSON in, a line of JSON out.

It is a process because the engine can't be interrupted, and because an error in it ends the process. It has no
environment, prints nothing (the engine prints what callers sent), and the kernel ends it when it takes too long.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bacalhau_jupyter.auth.policies.hosting import (
    FOR_BUILT_IN,
    MOST_VALUES,
    PACKAGE,
    SCHEMA,
    asked_value,
    question,
    question_in,
    written_constraints,
)
from bacalhau_jupyter.lib.text import read_text

_MOST_MEMORY = 2 << 30
_SHORT = 120
_YAML, _VERIFY = "yaml.unmarshal", "io.jwt.decode_verify"


class _Failed(Exception):
    """The engine has no value; the text names no value of the input."""


class _Asked(Exception):
    """Our module needs a value that we compute."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


class _Evaluator:
    """A compiled policy."""

    def __init__(self, modules: list[list[str]], schema_modules: list[list[str]], rules: list[str]) -> None:
        from regopy import Interpreter

        whole = "\n".join(text for _, text in modules)
        self._called = {name for name in (_YAML, _VERIFY) if f"host_{name.replace('.', '_')}(first" in whole}
        self._bundles = {}
        for rule in rules:
            engine = Interpreter()
            engine.strict_built_in_errors = True
            # What the schema holds is printed, so its texts stay as they are spelled.
            for name, text in schema_modules if rule == SCHEMA else modules:
                try:
                    engine.add_module(name, text)
                except Exception as error:
                    # The engine's text quotes the policy, which holds no secret of a caller.
                    raise _Failed(_one_line(f"{name}: {error}")) from error
            try:
                bundle = engine.build(f"x = data.{PACKAGE}.{rule}")
            except Exception as error:
                raise _Failed(_one_line(str(error))) from error
            if not bundle.ok():
                raise _Failed("it does not compile")
            self._bundles[rule] = (engine, bundle)

    def missing(self, names: list[str]) -> list[str]:
        """Return the functions that the engine does not have."""
        engine, _ = next(iter(self._bundles.values()))
        return sorted(name for name in names if not engine.is_builtin(name))

    def ask(self, rule: str, document: Any) -> dict[str, Any]:
        """Return the value of a rule, computing what it asks us for."""
        values = self._likely(document)
        for _ in range(MOST_VALUES):
            try:
                return self._once(rule, document, values)
            except _Asked as asked:
                if asked.key in values:
                    break
                try:
                    value = asked_value(asked.key, FOR_BUILT_IN)
                except (ValueError, OverflowError, RecursionError):
                    value = None
                if value is None:
                    raise _Failed("eval_builtin_error in a function of the host") from None
                values[asked.key] = value
        raise _Failed("it asks for too many values")

    def _likely(self, document: Any) -> dict[str, object]:
        """Return what a policy that reads bodies will ask for, so that it is evaluated once."""
        values: dict[str, object] = {}
        if not self._called or not isinstance(document, dict) or "http" not in document:
            return values
        asked: list[tuple[str, tuple[str, ...]]] = [(_YAML, (_tame(document["http"]["body"]),))]
        for header in document["http"]["headers"].get("Authorization", [])[:1]:
            token = _tame(header).removeprefix("Bearer ")
            asked.append((_VERIFY, (token, written_constraints(document["constraints"]))))
        for name, arguments in asked:
            if name in self._called:
                key = question(name, *arguments)
                # Only a policy that asks for it fails by a wrong one.
                with contextlib.suppress(ValueError, RecursionError, OverflowError):
                    values[key] = asked_value(key, FOR_BUILT_IN)
        return values

    def _once(self, rule: str, document: Any, values: Mapping[str, object]) -> dict[str, Any]:
        from regopy import rego_shared as raw

        engine, bundle = self._bundles[rule]
        if isinstance(document, dict):
            document = {**document, PACKAGE: values}
        engine.set_input(_tame(document))
        output = raw.rego_bundle_query(engine._impl, bundle._impl)
        try:
            # A failed query may still report success; its text is not JSON then.
            if not raw.rego_output_ok(output):
                raise _why(raw.rego_output_node(output))
            text = raw.rego_output_string(output)
        finally:
            raw.rego_free_output(output)
        if text == "undefined":
            return {}
        try:
            answer = json.loads(text)
        except ValueError:
            raise _Failed("the engine's answer can't be read") from None
        first = answer[0] if isinstance(answer, list) and answer else answer
        bindings = first.get("bindings", {}) if isinstance(first, dict) else {}
        return {"value": bindings["x"]} if "x" in bindings else {}


def _why(node: Any) -> Exception:
    """Return what an error means; its own text may quote a password."""
    from regopy.rego_shared import NodeKind

    message = code = ""
    for kind, value in _leaves(node):
        text = value if isinstance(value, str) else ""
        if kind == NodeKind.ErrorMessage and not message:
            message = text
        elif kind == NodeKind.ErrorCode and not code:
            code = text
        elif kind == NodeKind.String and question_in(text):
            return _Asked(question_in(text))
    name, colon, _ = message.partition(":")
    where = f" in {name}" if colon and name.replace(".", "").replace("_", "").isalnum() else ""
    return _Failed(f"{code or 'error'}{where}")


def _leaves(node: Any) -> Iterator[tuple[Any, Any]]:
    from regopy import rego_shared as raw

    kind, value = raw.rego_node_type(node), None
    with contextlib.suppress(Exception):
        value = raw.rego_node_value(node)
    yield kind, value
    for index in range(raw.rego_node_size(node)):
        yield from _leaves(raw.rego_node_get(node, index))


def _tame(value: Any) -> Any:
    """Replace what the engine's strings can't hold."""
    match value:
        case str():
            return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        case list() | tuple():
            return [_tame(each) for each in value]
        case dict():
            return {_tame(_name(name)): _tame(each) for name, each in value.items()}
        case bool() | int() | float() | None:
            return value
        case _:
            return str(value)


def _name(name: object) -> str:
    return name if isinstance(name, str) else json.dumps(name)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_SHORT]


def _limit(seconds: float) -> None:
    """Let the kernel end this process after so many seconds of processor time; 0 takes the limit away."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _confine() -> None:
    """Bound the memory; the engine's allocator reserves addresses without using them, so it comes first."""
    import regopy  # noqa: F401

    try:
        import resource

        pages = int(read_text(Path("/proc/self/statm")).split()[0])
    except (ImportError, OSError):
        return
    most = pages * resource.getpagesize() + _MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Serve until the other end closes."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    questions = sys.stdin.buffer
    start = json.loads(questions.readline())
    limit_s = float(start["limit_s"])
    try:
        _confine()
        _limit(float(start["start_s"]))
        evaluator = _Evaluator(start["modules"], start["schema_modules"], start["rules"])
        first: dict[str, Any] = {"missing": evaluator.missing(start["calls"])}
    except ImportError:
        first = {"error": "regopy"}
    except _Failed as error:
        first = {"error": str(error)}
    _limit(0)
    answers.write(json.dumps(first).encode() + b"\n")
    if "error" in first:
        return
    for line in questions:
        _limit(limit_s)
        try:
            asked = json.loads(line)
            answer = evaluator.ask(asked["rule"], asked["input"])
        except _Failed as error:
            answer = {"error": str(error)}
        except (ValueError, RecursionError, MemoryError) as error:
            answer = {"error": type(error).__name__}
        except Exception as error:
            # The engine's own errors; their text may quote the input.
            answer = {"error": type(error).__name__}
        _limit(0)
        answers.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
