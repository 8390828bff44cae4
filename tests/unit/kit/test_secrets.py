"""References to secrets: what they lead to, and what they never lead to."""

from pathlib import Path

import pytest

from kit.secrets import MOST_BYTES, SecretMissing, Secrets, without, without_in

ENVIRONMENT = {"BUREAU_SECRET_A": "alpha", "BUREAU_SECRET_EMPTY": "", "BUREAU_IDENTITY_PRIVATE_KEY": "own"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "token").write_text("beta\n")
    (folder / "large").write_text("x" * (MOST_BYTES + 1))
    (folder / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "outside").write_text("not for you")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "circle").symlink_to(folder / "circle")
    return folder


async def value(reference: str, folder: Path | None = None) -> str:
    return (await Secrets(ENVIRONMENT, "BUREAU_SECRET_", folder).resolve({"x": reference}))["x"]


async def test_a_variable_with_the_prefix_is_found() -> None:
    assert await value("env:BUREAU_SECRET_A") == "alpha"


async def test_a_file_below_the_folder_is_found_without_its_last_line_break(folder: Path) -> None:
    assert await value(f"file:{folder}/token", folder) == "beta"


@pytest.mark.parametrize("name", ["BUREAU_IDENTITY_PRIVATE_KEY", "PATH", "BUREAU_SECRET_NONE", "BUREAU_SECRET_EMPTY"])
async def test_no_other_variable_is(name: str) -> None:
    with pytest.raises(SecretMissing, match=name) as refusal:
        await value(f"env:{name}")
    assert "own" not in str(refusal.value).replace("only", "")


@pytest.mark.parametrize("name", ["../outside", "link", "circle", "none", "large", "binary", "."])
async def test_no_other_file_is(name: str, folder: Path) -> None:
    with pytest.raises(SecretMissing):
        await value(f"file:{folder}/{name}", folder)


async def test_without_a_folder_no_file_is(folder: Path) -> None:
    with pytest.raises(SecretMissing, match="no folder"):
        await value(f"file:{folder}/token")


async def test_a_variable_is_looked_up_each_time_it_is_used() -> None:
    environment = {"BUREAU_SECRET_A": "old"}
    secrets = Secrets(environment, "BUREAU_SECRET_", None)
    await secrets.resolve({"x": "env:BUREAU_SECRET_A"})
    environment["BUREAU_SECRET_A"] = "new"
    assert await secrets.resolve({"x": "env:BUREAU_SECRET_A"}) == {"x": "new"}


def test_secrets_are_taken_out_of_what_others_wrote() -> None:
    assert without({"a": "abc", "b": "abcdef", "c": ""}, "abcdef and abc") == "*** and ***"


def test_secrets_are_taken_out_of_json_wherever_they_stand() -> None:
    secrets = {"a": "Bearer abcdef", "b": "4711"}
    said = {"x": ["Bearer abcdef", "only abcdef", 4711, True, None, 1.5], "abcdef": {"y": "Bearer"}}
    assert without_in(secrets, said) == {"x": ["***", "only ***", "***", True, None, 1.5], "***": {"y": "Bearer"}}
    assert without_in({}, said) is said


def test_json_that_is_nested_without_end_is_cut() -> None:
    deep: list[object] = ["abc"]
    for _ in range(500):
        deep = [deep]
    assert "abc" not in str(without_in({"a": "abc"}, deep))
