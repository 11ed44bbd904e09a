"""What may be asked for: names with versions, and nothing that reads, runs or reaches anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.client.packages.requirements import Required, combined, parse, read_file, with_builds
from bacalhau_jupyter.models.errors import BadRequest


def test_equal_requirements_have_one_spelling() -> None:
    (first,) = parse(["Poly_Lars [b, a]  <2, >=1"])
    (second,) = parse(["poly-lars[a,b]>=1,<2"])
    assert first == second == Required("poly-lars[a,b]<2,>=1", "poly-lars")


def test_a_marker_stays() -> None:
    (required,) = parse(['tomli; python_version < "3.11"'])
    assert required.text == 'tomli ; python_version < "3.11"'


@pytest.mark.parametrize(
    "text",
    ["-r /etc/passwd", "--index-url=https://u:secret@h/", "polars --index-url=https://u:secret@h/", "-e ."],
)
def test_options_are_refused_and_their_values_not_repeated(text: str) -> None:
    with pytest.raises(BadRequest, match="not options") as refused:
        parse([text])
    assert "secret" not in str(refused.value) and "passwd" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "polars @ https://u:secret@host/polars.whl",
        "https://u:secret@host/polars-1.0-py3-none-any.whl",
        "git+https://u:secret@host/polars",
        "./polars-1.0-py3-none-any.whl",
        "/etc/passwd",
        "../polars",
        "polars @ file:///etc/passwd",
    ],
)
def test_urls_and_paths_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadRequest, match="not files or URLs") as refused:
        parse([text])
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "   ", "polars\n-r /etc/passwd", "polars\x00", "a b c", "§", "x" * 5000]
)
def test_what_is_no_requirement_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse([text])


def test_a_file_may_have_comments_continuations_and_hashes(tmp_path: Path) -> None:
    digest = "sha256:" + "ab" * 32
    file = tmp_path / "requirements.txt"
    file.write_text(
        f"# packages\npolars>=1  # fast\n\nnumpy==2.0 \\\n    --hash={digest} \\\n    --hash=sha256:{'0' * 64}\n"
    )
    assert read_file(file) == [
        Required("polars>=1", "polars"),
        Required("numpy==2.0", "numpy", ("sha256:" + "0" * 64, digest)),
    ]


@pytest.mark.parametrize("line", ["-r other.txt", "-c limits.txt", "--index-url https://u:secret@h/", "-e ."])
def test_a_file_is_refused_with_the_line_that_is_not_taken(tmp_path: Path, line: str) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(f"polars\n{line}\n")
    with pytest.raises(BadRequest, match=r"requirements\.txt, line 2") as refused:
        read_file(file)
    assert "secret" not in str(refused.value)


def test_a_file_that_is_missing_a_directory_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("nothing", ".", "binary"):
        with pytest.raises(BadRequest, match="--requirements"):
            read_file(tmp_path / name)


def test_the_order_of_requirements_does_not_matter() -> None:
    first, second = parse(["b", "a>=1"]), parse(["a>=1"])
    assert combined(first, second) == combined(second, first) == parse(["a>=1", "b"])


@pytest.mark.parametrize(
    ("line", "reason", "hint"),
    [
        ("-r other.txt", "not options such as '-r'", "--requirements of its own"),
        ("-c limits.txt", "not options such as '-c'", "beside the names"),
        ("-e .", "not options such as '-e'", "modules beside the notebook"),
        ("-i https://u:secret@h/", "not options such as '-i'", "PIP_INDEX_URL"),
        ("polars==1 --hash=md5:" + "0" * 32, "only hashes of SHA-256", "64 digits"),
        ("polars,seaborn", "is no requirement", "--pip once for each"),
        ("", "the requirement is empty", "polars>=1"),
    ],
)
def test_each_refusal_says_what_to_do(line: str, reason: str, hint: str) -> None:
    with pytest.raises(BadRequest, match=reason) as refused:
        parse([line])
    assert hint in (refused.value.hint or "") and "secret" not in str(refused.value)


def test_a_file_of_ten_thousand_lines_is_refused_with_its_number_of_requirements(tmp_path: Path) -> None:
    file = tmp_path / "frozen.txt"
    file.write_text("".join(f"package-{number}==1.0\n" for number in range(10_000)))
    with pytest.raises(
        BadRequest, match=r"frozen\.txt has 10000 requirements, and .* at most 1000"
    ) as refused:
        read_file(file)
    assert "what the code imports" in (refused.value.hint or "")


def test_no_binary_marks_the_requirement_with_that_name_or_adds_one() -> None:
    marked = with_builds(parse(["Good_One>=1", "other"]), ["good.one", "Third"])
    assert [(each.text, each.is_built) for each in marked] == [
        ("good-one>=1", True),
        ("other", False),
        ("third", True),
    ]


@pytest.mark.parametrize("name", [":all:", ":none:", "a,b", "good>=1", "", "-r", "../x", "https://u:p@h/x"])
def test_no_binary_takes_one_name(name: str) -> None:
    with pytest.raises(BadRequest, match="--no-binary takes the name of one package"):
        with_builds([], [name])
