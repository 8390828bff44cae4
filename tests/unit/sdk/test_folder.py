"""A folder of files as the registry's document, and back."""

from pathlib import Path

import pytest

from bureau.folder import BadFolder, read_folder, write_folder
from bureau_contracts.registry import RegistryDocument


def put(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_records_lie_in_a_folder_of_their_kind_or_say_what_they_are(tmp_path: Path) -> None:
    put(tmp_path, "agents/tickets.yaml", "http: http://a/turn\ntags: [on, 'yes']\n")
    put(tmp_path, "team/agents/finops.json", '{"name": "costs", "http": "http://b/turn"}')
    put(tmp_path, "anywhere.yml", "kind: tool\nname: time\nsource: http\n---\nkind: agent\nname: two\nhttp: http://c\n")
    put(tmp_path, ".git/agents/not.yaml", "nothing: here")
    put(tmp_path, "README.md", "not a record")
    document = read_folder(tmp_path)
    assert document.agents["costs"] == {"http": "http://b/turn"}
    assert sorted(document.agents) == ["costs", "tickets", "two"]
    assert document.tools == {"time": {"source": "http"}}


def test_what_was_written_is_read_back_the_same(tmp_path: Path) -> None:
    text = "Línea one\n  indented: {{ user }}\n\ttab  \n\n# not a comment\n"
    document = RegistryDocument(
        version="1.1.0",
        agents={"a": {"description": "2026-01-02", "factory_params": {"n": None, "f": 1.5, "s": "no", "e": []}}},
        tools={"t": {"url": "http://x", "risks": {}}},
        prompts={"p": {"labels": {"live": 1}, "versions": [{"version": 1, "text": text, "variables": ["user"]}]}},
    )
    first = [path.read_bytes() for path in write_folder(document, tmp_path)]
    assert read_folder(tmp_path) == document
    assert [path.read_bytes() for path in write_folder(document, tmp_path)] == first
    put(tmp_path, "dates/agents/d.yaml", "description: 2026-01-02\n")
    assert read_folder(tmp_path).agents["d"] == {"description": "2026-01-02"}, "a date stays a text, as in JSON"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("agents/x.yaml", "a: [1", "x.yaml"),
        ("agents/x.yaml", "- 1\n", "an object, not a list"),
        ("agents/x.yaml", "name: 7\n", "name is a text"),
        ("agents/x.yaml", "!!python/object:os.system {}\n", "x.yaml"),
        ("x.yaml", "name: x\n", "has no kind"),
        ("x.yaml", "kind: dance\n", "kind is one of"),
        ("agents/Not A Name.yaml", "http: http://a\n", "pattern"),
        ("nothing.txt", "", "no .yaml or .json file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, text: str, reason: str) -> None:
    put(tmp_path, name, text)
    with pytest.raises(BadFolder, match=reason):
        read_folder(tmp_path)


def test_the_same_thing_described_twice_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "agents/x.yaml", "http: http://a\n")
    put(tmp_path, "more/agents/x.json", '{"http": "http://b"}')
    with pytest.raises(BadFolder, match="twice"):
        read_folder(tmp_path)
