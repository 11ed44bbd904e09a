"""Quotas over a real node's API: what the configuration says is what people meet."""

from __future__ import annotations

from tests.node.test_audit import ADA_KEY, RON_KEY, UPLOADS, USERS, caller, written
from tests.node.test_node import JOBS, MakeConfig, client, noop
from tests.services.node import running_node


async def test_each_principal_meets_its_own_quota_and_the_owner_none(node_config: MakeConfig) -> None:
    writers = [{**user, "Capabilities": [{"Actions": ["*"]}]} for user in USERS]
    config = node_config(
        API__Auth__Users=writers,
        API__TrustLocalUser=False,
        API__Quotas__Default={"Uploads": "1kb", "CPU": 1},
        API__Quotas__Principals=[{"Name": "key:ron", "Uploads": "1mb"}],
    )
    async with (
        running_node(config) as node,
        caller(node, ADA_KEY) as ada,
        caller(node, RON_KEY) as ron,
        client(node) as owner,
    ):
        large = {"Name": "data.csv", "Size": 2000}
        async with ada.post(UPLOADS, json=large) as answer:
            assert answer.status == 429
            assert (await answer.json())["Message"] == (
                "your quota has no room for the upload data.csv (2.0 kB): your uploads may take 1.0 kB, "
                "and 0 B are being uploaded or in use"
            )
        for session in (ron, owner):
            async with session.post(UPLOADS, json=large) as answer:
                assert answer.status == 200
        big = noop(Resources={"CPU": "1500m"})
        big["Job"]["Name"] = "big"
        for session in (ada, ron):
            async with session.put(JOBS, json=big) as answer:
                assert answer.status == 403
                assert "asks for 1.5 CPU, and the quota of key:" in (await answer.json())["Message"]
        # A job can't say whose it is.
        forged = noop(Resources={"CPU": "1500m"})
        forged["Job"] |= {"Meta": {"principal": "owner"}, "Labels": {"principal": "owner"}}
        async with ada.put(JOBS, json={**forged, "principal": "owner", "Principal": "owner"}) as answer:
            assert answer.status == 403
        async with owner.put(JOBS, json=big) as answer:
            assert answer.status == 200
            job = (await answer.json())["JobID"]
        async with ada.get(f"{JOBS}/{job}") as answer:
            # What official clients see of a job is what it always was.
            assert "rincipal" not in await answer.text()
        refused = [
            line for line in written(node) if line["verb"] == "submit" and line["outcome"] == "refused"
        ]
        assert {(line["principal"], line["name"], line["code"]) for line in refused} == {
            ("key:ada", "big", "ResourceExhausted"),
            ("key:ron", "big", "ResourceExhausted"),
        }
