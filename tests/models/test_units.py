"""Resource texts as numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import ValidationError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig
from bacalhau_jupyter.models.jobs.units import (
    format_bytes,
    format_duration,
    format_resources,
    parse_bytes,
    parse_cpu,
    parse_gpu,
    resources_of,
)


@pytest.mark.parametrize(
    ("text", "cores"),
    [("500m", 0.5), ("2", 2.0), ("0.1", 0.1), (".5", 0.5), ("1500m", 1.5), (" 100 M ", 0.1), ("0", 0.0)],
)
def test_cpu_texts(text: str, cores: float) -> None:
    assert parse_cpu(text) == cores


@pytest.mark.parametrize(
    "text", ["", "abc", "-1", "-500m", "1e3", "nan", "inf", "1..2", "5mm", "٣", "9" * 30]
)
def test_other_cpu_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="CPU"):
        parse_cpu(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512mb", 512 * 10**6),
        ("512Mb", 512 * 10**6),
        ("512 MB", 512 * 10**6),
        ("1g", 10**9),
        ("1gb", 10**9),
        ("1Gi", 2**30),
        ("1gib", 2**30),
        ("64mib", 2**26),
        ("2k", 2000),
        ("2ki", 2048),
        ("1.5g", 1_500_000_000),
        ("1024", 1024),
        ("7b", 7),
        ("1,000", 1000),
        ("1t", 10**12),
        ("1ei", 2**60),
        ("0", 0),
        ("0.5k", 500),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_size_texts(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "abc", "-1gb", "1x", "1kbb", "mb", "1e9", "9223372036854775808", "8ei", "1.2.3"]
)
def test_other_size_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"siz|counted"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["all", "-1", "1.5", "1m", ""])
def test_a_gpu_count_is_a_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="whole number of GPUs"):
        parse_gpu(text)
    assert parse_gpu(" 2 ") == 2


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (7, "7 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (512 * 10**6, "512 MB"),
        (1_500_000_000, "1.5 GB"),
        (20_221_208_166, "20 GB"),
        (2**63 - 1, "9.2 EB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert format_bytes(size) == text


def test_resources_for_people() -> None:
    text = format_resources(Resources(cpu=1.6, memory=20_221_208_166, disk=10**9, gpu=1))
    assert text == "{CPU: 1.60, Memory: 20 GB, Disk: 1.0 GB, GPU: 1}"


@given(st.integers(0, 2**63 - 1))
def test_a_bare_number_is_exactly_that_many_bytes(size: int) -> None:
    assert parse_bytes(str(size)) == size


@given(st.integers(0, 10**6))
def test_millicores_and_cores_agree(milli: int) -> None:
    assert parse_cpu(f"{milli}m") == parse_cpu(f"{milli / 1000:.3f}")


def test_a_whole_resources_object() -> None:
    config = ResourcesConfig(cpu="500M", memory="512 MB", gpu="1")
    assert resources_of(config) == Resources(cpu=0.5, memory=512 * 10**6, gpu=1)
    assert resources_of(ResourcesConfig()).is_zero


def test_every_bad_resource_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        resources_of(ResourcesConfig(cpu="abc", memory="-1gb", disk="1x", gpu="all"))
    assert caught.value.problems == [
        "invalid CPU value: abc",
        "invalid memory value: -1gb",
        "invalid disk value: 1x",
        "invalid GPU value: all",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (3.21, "3.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3_569, "59 min"),
        (3_600, "1 h"),
        (86_400, "24 h"),
        (200_000, "2 days"),
    ],
)
def test_a_duration_is_said_in_one_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
