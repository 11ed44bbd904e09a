"""DuckDB in both tiers of the process engine: its threads, its temporary files, no network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.client.jobs.job import JobFailed
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.cells import job_of_cell
from bacalhau_jupyter.notebook.values.sql import frame_of
from tests.client.jobs.test_packages import TIERS, of_own
from tests.packages.wheels import Index, serving
from tests.services.node_fixtures import NodeFactory, node_factory

__all__ = ["node_factory"]

pytest.importorskip("duckdb")
pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


@pytest.mark.parametrize("tier", TIERS)
def test_a_query_runs_in_every_tier(node_factory: NodeFactory, tier: str) -> None:
    body = "select count(*)::int as n, sum(k)::bigint as s from (select range as k from range(2000000) order by -k)"
    cell = Cell("sql", body, variables={"unused": [{"a": 1}]})
    with of_own(node_factory("-c", f"Engines.Process.Tiers={tier}"), tier) as client:
        model = job_of_cell(cell, client.info, shares_machine=True, environment=client.environment)
        try:
            frame = frame_of(client.submit(model).result(), None)
        except JobFailed as error:
            if "who can't read" in error.message:
                pytest.skip(error.message)
            raise
        assert frame.to_dict("records") == [{"n": 2000000, "s": 1999999000000}]


@pytest.fixture
def secret() -> Iterator[Path]:
    """A file in the home directory of whoever runs this."""
    path = Path.home() / f".bacalhau-test-{os.getpid()}.txt"
    path.write_text("of-the-user")
    path.chmod(0o600)
    try:
        yield path
    finally:
        path.unlink()


def attacks(secret: Path, place: Path, url: str) -> list[str]:
    return [
        f"select content from read_text('{secret}')",
        f"copy (select 1 as n) to '{place}/copied.csv'",
        f"attach '{place}/attached.db' as other; create table other.t as select 1 as n; select * from other.t",
        f"install httpfs; load httpfs; select * from read_csv('{url}/files/evil.csv')",
        f"select * from read_csv('{url}/files/evil.csv')",
    ]


@pytest.mark.parametrize("tier", TIERS)
def test_a_query_reads_and_writes_nothing_beside_its_job(
    node_factory: NodeFactory, tier: str, tmp_path: Path, secret: Path
) -> None:
    with (
        serving(Index()) as index,
        of_own(node_factory("-c", f"Engines.Process.Tiers={tier}"), tier) as client,
    ):
        for body in attacks(secret, tmp_path, index.url.removesuffix("/simple")):
            model = job_of_cell(
                Cell("sql", body), client.info, shares_machine=True, environment=client.environment
            )
            try:
                result = client.submit(model).result(check=False)
            except JobFailed as error:
                if "who can't read" in error.message:
                    pytest.skip(error.message)
                raise
            # Of a file that is not there, DuckDB reads no rows.
            assert result.exit_code or body.startswith("select content")
            assert "of-the-user" not in f"{result.stdout}{result.stderr}{frame_of(result, None)}"
        assert not index.requests and not [*tmp_path.glob("*.csv"), *tmp_path.glob("*.db")]


def test_the_same_queries_succeed_where_nothing_confines_them(tmp_path: Path, secret: Path) -> None:
    """The control; what needs the network needs an extension, too, which nothing downloads here."""
    import duckdb

    reading, *writing = attacks(secret, tmp_path, "")[:3]
    with duckdb.connect() as connection:
        assert connection.execute(reading).fetchall() == [("of-the-user",)]
        for query in writing:
            connection.execute(query)
    assert (tmp_path / "copied.csv").is_file() and (tmp_path / "attached.db").is_file()
