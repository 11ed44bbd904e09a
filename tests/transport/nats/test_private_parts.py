"""Which private parts of nats-py we use: a release that lacks one of them, or calls it otherwise, fails here first.

What each of them is for, the other tests of this directory show against a real server.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser

from bacalhau_jupyter.transport.nats import nats_py

METHODS = {
    "_connect_command": ["self"],
    "_connect_to_server": ["self", "s"],
    "_flush_pending": ["self", "force_flush"],
    "_process_msg": ["self", "sid", "subject", "reply", "data", "headers"],
    "_select_next_server": ["self"],
    "_send_ping": ["self", "future"],
}
"""Methods of the client that we replace, with their parameters."""
OF_CLIENT = {
    *(
        "_current_server",
        "_server_info",
        "_server_pool",
        "_transport",
        "_subs",
        "_pending",
        "_pending_data_size",
    ),
    *("_flush_queue", "_flusher_task", "_ping_interval_task", "_ps", "_reading_task"),
}
OF_TRANSPORT = {"_bare_io_reader", "_bare_io_writer", "_io_reader", "_io_writer"}
OF_SUBSCRIPTION = {"_wait_for_msgs_task"}
OF_ASYNCIO = {"_buffer"}
OURS = {"_held", "_is_write_due", "_last_line", "_settings", "_write_due"}


def test_nothing_private_is_used_that_is_not_named_here() -> None:
    tree = ast.parse(Path(nats_py.__file__).read_text(encoding="utf-8"))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names |= {
                each.name for each in node.body if isinstance(each, ast.AsyncFunctionDef | ast.FunctionDef)
            }
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
            names |= {
                word.value
                for word in node.args
                if isinstance(word, ast.Constant) and isinstance(word.value, str)
            }
    private = {name for name in names if name.startswith("_") and not name.startswith("__")}
    assert private == {*METHODS, *OF_CLIENT, *OF_TRANSPORT, *OF_SUBSCRIPTION, *OF_ASYNCIO, *OURS}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_that_we_replace_is_called_as_before(name: str) -> None:
    assert list(inspect.signature(getattr(Client, name)).parameters) == METHODS[name]
    assert name in vars(nats_py.OneServerClient)


async def test_every_attribute_is_there() -> None:
    client = Client()
    assert set(vars(Parser(client))) >= {"buf", "needed", "state"}
    assert set(vars(client)) >= OF_CLIENT
    assert set(vars(TcpTransport())) >= OF_TRANSPORT
    assert set(vars(Subscription(client))) >= OF_SUBSCRIPTION
    assert set(vars(asyncio.StreamReader())) >= OF_ASYNCIO


def test_the_attributes_of_our_own_hide_none_of_theirs() -> None:
    assert not OURS & (set(vars(Client())) | set(vars(TcpTransport())))
