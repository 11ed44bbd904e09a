"""What a connection was asked is done when it says so."""

from __future__ import annotations

from nats.aio.msg import Msg

from bacalhau_jupyter.transport.nats.client import Line
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from tests.services.nats import PlainNatsServer
from tests.services.waiting import until

TIMES = 40


async def test_whoever_listens_and_settled_misses_nothing(nats_server: PlainNatsServer) -> None:
    """nats-py's own `flush` returned before the server knew, one time in ten; so it is tried often."""
    settings = NatsSettings((nats_server.url,), "n-1", token=nats_server.token, connect_timeout_s=60)
    speaker, listener = Line(settings, nats_server.url), Line(settings, nats_server.url)
    await speaker.open()
    await listener.open()
    heard: list[str] = []

    async def note(message: Msg) -> None:
        heard.append(message.subject)

    subjects = [f"settled.{number}" for number in range(TIMES)]
    try:
        for subject in subjects:
            await listener.listen(subject, note)
            await listener.settle()
            await speaker.publish(subject, b"", "", None)
            await speaker.settle()
        await listener.settle()
        await until(lambda: subjects[-1] in heard, 60)
        assert heard == subjects
    finally:
        await speaker.close()
        await listener.close()
