"""CIDs and the paths below them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.transfer.ipfs.paths import IpfsPath, parse_path, path_of

V0 = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
V1 = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (V0, IpfsPath(V0)),
        (f" {V1}/ ", IpfsPath(V1)),
        (V1.upper(), IpfsPath(V1.upper())),
        (f"{V0}/a b/é.txt", IpfsPath(V0, "a b/é.txt")),
        (f"ipfs://{V1}/x", IpfsPath(V1, "x")),
        (f"/ipfs/{V1}/x/", IpfsPath(V1, "x")),
        ("zdj7WhuEjrB52m1BisYCtmjH1hSKa7yZ3jEZ9JcXaFRD51wVz", None),
        ("f01551220" + 32 * "ab", None),
        ("k51qzi5uqu5dkkciu33khkzbcmxtyhn376i1e83tya8kuy7z9euedzyr5nhoew", None),
    ],
)
def test_cids_of_every_kind_are_read(text: str, path: IpfsPath | None) -> None:
    parsed = parse_path(text, "Test")
    assert parsed == (path or IpfsPath(text))
    assert parse_path(str(parsed), "Test") == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3N",
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA30l",
        V1[:-3],
        "docs.ipfs.tech",
        "bafyé",
        None,
        7,
        f"{V0}/../x",
        f"{V0}/a//b",
        f"{V0}/./b",
        f"{V0}/a\0b",
    ],
)
def test_an_invalid_cid_or_path_is_refused(text: object) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_path(text, "Test")
    assert "CID" in caught.value.message


def test_the_parameter_is_found_in_any_case() -> None:
    assert path_of({"cid": V0}, "Test") == path_of({"CID": V0}, "Test") == IpfsPath(V0)
    with pytest.raises(BadRequest, match="CID of the IPFS content is missing"):
        path_of({"Path": V0}, "Test")


@given(st.text(max_size=80))
def test_no_text_gives_anything_but_a_path_or_one_sentence(text: str) -> None:
    try:
        parse_path(text, "Test")
    except BadRequest as error:
        assert error.message
