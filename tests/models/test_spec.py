"""Specs of engines, sources and publishers: their parameters by name."""

from bacalhau_jupyter.models.jobs.spec import SpecConfig


def test_a_parameter_is_found_whatever_the_case_of_its_name() -> None:
    spec = SpecConfig(type="s3", params={"BUCKET": "b", "key": None})
    assert (spec.param("Bucket"), spec.param("Key", "default"), spec.param("Region", "r")) == ("b", None, "r")


def test_of_a_name_in_two_spellings_the_last_value_counts() -> None:
    assert SpecConfig(params={"URL": "first", "url": "last"}).param("Url") == "last"
