from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from bacalhau_jupyter.models.errors import Forbidden, NotFound
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, Task, Timeouts, replace
from bacalhau_jupyter.models.records.published import RESULTS_PATH
from bacalhau_jupyter.models.records.uploads import BeginUpload
from bacalhau_jupyter.transfer.core.signing import sign
from bacalhau_jupyter.uploads.drafts import Draft
from bacalhau_jupyter.uploads.links import MIN_LIFE_S, MOST_LIFE_S, UploadLinks
from bacalhau_jupyter.uploads.orders import Kept
from bacalhau_jupyter.uploads.store import UploadStore
from tests.clock import ManualClock

BASE = "http://127.0.0.1:1234"
DAY_S = 86400
KEY = b"k" * 32


def no_result(execution_id: str) -> Path:
    raise NotFound(f"there is no result {execution_id}")


class World:
    """A store with one content, and the links of the node that has it."""

    def __init__(self, root: Path, key: bytes = KEY) -> None:
        self.clock = ManualClock()
        self.store = UploadStore(root, 0, min_free=0, clock=self.clock, free=lambda path: 1 << 40)
        self.links = UploadLinks(self.store, key, self.clock, no_result)

    async def content(self) -> Kept:
        await self.store.start()
        draft = await self.store.begin("ann", BeginUpload(name="x.bin", size=3))
        assert isinstance(draft, Draft)

        async def bytes_of_it() -> AsyncIterator[bytes]:
            yield b"abc"

        await self.store.append(draft, 0, bytes_of_it())
        return await self.store.finish(draft)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def job_with(url: str, **timeouts: int) -> Job:
    source = SpecConfig(type="urlDownload", params={"URL": url, "File": True})
    item = InputSource(source=source, alias="x.bin", target="/inputs/x.bin")
    return Job(tasks=[Task(name="t", input_sources=[item], timeouts=Timeouts(**timeouts))])


def url_of(job: Job) -> str:
    return str(job.task.input_sources[0].source.params["URL"])


def expires(url: str) -> int:
    return int(parse_qs(urlsplit(url).query)["expires"][0].partition("-")[0])


async def test_a_link_leads_to_its_content(world: World) -> None:
    kept = await world.content()
    file = world.links.content(world.links.url(kept.sha256, "a b%.bin", BASE))
    assert file is not None and file.read_bytes() == b"abc"


async def test_the_same_link_under_another_name_of_the_node_means_the_same(world: World) -> None:
    kept = await world.content()
    url = world.links.url(kept.sha256, "x", BASE).replace("127.0.0.1:1234", "node.example.org:99")
    assert world.links.content(url) is not None


async def test_a_link_signed_by_somebody_else_means_nothing_here(world: World, tmp_path: Path) -> None:
    kept = await world.content()
    stranger = World(tmp_path, b"z" * 32)
    url = stranger.links.url(kept.sha256, "x", BASE)
    assert world.links.content(url) is None
    assert world.links.renewed(job_with(url)) == job_with(url)


async def test_a_link_lives_as_long_as_its_job_may_wait_and_run(world: World) -> None:
    kept = await world.content()
    job = world.links.renewed(
        job_with(
            world.links.url(kept.sha256, "x", BASE), queue_timeout=5 * DAY_S, execution_timeout=2 * DAY_S
        )
    )
    now_s = world.clock.now_ns() // 1_000_000_000
    assert expires(url_of(job)) == now_s + 7 * DAY_S + MIN_LIFE_S
    assert job.task.input_sources[0].source.params["File"] is True
    world.clock.advance(7 * DAY_S)
    assert world.links.content(url_of(job)) is not None


@pytest.mark.parametrize("names", [("URL", "url"), ("url", "URL")])
async def test_every_spelling_of_a_link_lives_long(world: World, names: tuple[str, str]) -> None:
    kept = await world.content()
    url = world.links.url(kept.sha256, "x", BASE)
    job = job_with(url, queue_timeout=5 * DAY_S)
    params = dict.fromkeys(names, url)
    item = InputSource(source=SpecConfig(type="urlDownload", params=params), target="/inputs/x.bin")
    renewed = world.links.renewed(replace(job, tasks=[replace(job.task, input_sources=[item])]))
    world.clock.advance(3 * DAY_S)
    for name in names:
        assert world.links.content(renewed.task.input_sources[0].source.params[name]) is not None


async def test_a_link_with_an_escaped_path_stays_as_it_is(world: World) -> None:
    kept = await world.content()
    url = world.links.url(kept.sha256, "x", BASE).replace("/api/v1/", "/api%2Fv1/")
    assert url_of(world.links.renewed(job_with(url, queue_timeout=5 * DAY_S))) == url


async def test_a_link_whose_time_is_over_is_refused_with_the_way_out(world: World) -> None:
    kept = await world.content()
    url = world.links.url(kept.sha256, "x", BASE)
    world.clock.advance(MIN_LIFE_S)
    with pytest.raises(Forbidden, match=r"the link of input x\.bin expired at") as caught:
        world.links.renewed(job_with(url))
    assert "-i PATH" in caught.value.hint and caught.value.status == 400


async def test_a_job_that_was_accepted_once_gets_fresh_links_when_it_runs_again(world: World) -> None:
    kept = await world.content()
    url = world.links.url(kept.sha256, "x", BASE)
    world.clock.advance(30 * DAY_S)
    job = world.links.renewed(job_with(url), again=True)
    assert world.links.content(url_of(job)) is not None


async def test_a_job_whose_upload_made_room_for_others_says_so(world: World) -> None:
    kept = await world.content()
    url = world.links.url(kept.sha256, "x.bin", BASE)
    await world.store.clear()
    with pytest.raises(
        NotFound, match=r"input x\.bin: the upload x\.bin is not on this node any more"
    ) as caught:
        world.links.renewed(job_with(url), again=True)
    assert "uploads it" in caught.value.hint


@pytest.mark.parametrize("again", [False, True])
async def test_no_time_limit_of_a_job_makes_a_link_live_longer_than_a_month(
    world: World, again: bool
) -> None:
    kept = await world.content()
    job = job_with(world.links.url(kept.sha256, "x", BASE), total_timeout=3650 * DAY_S)
    url = url_of(world.links.renewed(job, again))
    world.clock.advance(MOST_LIFE_S - 1)
    assert world.links.content(url) is not None
    world.clock.advance(1)
    with pytest.raises(Forbidden, match="expired"):
        world.links.content(url)


async def test_submitting_a_link_again_and_again_does_not_make_it_live_for_ever(world: World) -> None:
    kept = await world.content()
    job = job_with(world.links.url(kept.sha256, "x", BASE), queue_timeout=5 * DAY_S)
    days = 0
    while days < 100:
        try:
            job = world.links.renewed(job)
        except Forbidden:
            break
        world.clock.advance(DAY_S)
        days += 1
    assert days == MOST_LIFE_S / DAY_S
    # The job that the node accepted may run again, whenever that is.
    again = world.links.renewed(job, again=True)
    assert world.links.content(url_of(again)) is not None


async def test_a_changed_time_of_the_first_renewal_does_not_open(world: World) -> None:
    kept = await world.content()
    job = world.links.renewed(job_with(world.links.url(kept.sha256, "x", BASE), queue_timeout=5 * DAY_S))
    until, _, first = parse_qs(urlsplit(url_of(job)).query)["expires"][0].partition("-")
    assert world.links.content(url_of(job)) is not None
    for changed in (f"{until}-{int(first) + 1}", until, f"{int(until) + 1}-{first}", f"{until}-"):
        assert world.links.content(url_of(job).replace(f"{until}-{first}", changed)) is None


async def test_what_jobs_refer_to_are_uploads_and_results_behind_links_of_this_node(
    world: World, tmp_path: Path
) -> None:
    kept = await world.content()
    upload = job_with(world.links.url(kept.sha256, "x", BASE))
    path = f"{RESULTS_PATH}/e-1.tar.gz"
    result = job_with(f"{BASE}{path}?{sign(path, 1, KEY)}")
    assert world.links.referred([upload, result]) == ({kept.sha256}, {"e-1"})
    # A job from elsewhere that only names a hash or an execution keeps nothing.
    stranger = World(tmp_path, b"z" * 32)
    forged = job_with(stranger.links.url(kept.sha256, "x", BASE))
    unsigned = job_with(f"{BASE}{path}?expires=1&signature=x")
    assert world.links.referred([forged, unsigned]) == (set(), set())
