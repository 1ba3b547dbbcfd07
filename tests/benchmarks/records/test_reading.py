import pytest
from pydantic import BaseModel

from benchmarks.records import reading
from benchmarks.records.reading import parse_json, read_json, read_yaml


class Form(BaseModel):
    model_config = {"extra": "forbid"}
    size: int
    names: list[str] = []
    keys: int | tuple[int, ...] = 1


def test_what_is_of_the_form_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"size": 3, "names": ["x"]}')
    assert read_json(tmp_path / "a.json", Form) == Form(size=3, names=["x"])
    (tmp_path / "a.yaml").write_text("size: 3\nlr: 2.0e-4")
    assert read_yaml(tmp_path / "a.yaml") == {"size": 3, "lr": 2e-4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 200_000, "recursion limit"),
        (b'{"size": "' + b"x" * 10**6 + b'"}', r"size: .*x\.\.\. \(1,000,002 characters\)"),
        (b'{"size": 1, "color": 2}', "color: no such field"),
        (b'{"names": [1,2,3,4,5,6,7,8,9]}', r"size: Field required; .*and 5 more"),
        (
            b'{"size": 1, "keys": "x"}',
            "keys: Input should be a valid integer.* or a valid array, got",
        ),
        (b'{"size": 1, "keys": [1, "x"]}', "keys.1: Input should be a valid integer, [^;]*$"),
        (b'{"size": 1, "int": 2}', "int: no such field"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"", "Invalid JSON"),
    ],
)
def test_other_json_is_refused_in_one_short_line(text, message):
    with pytest.raises(ValueError, match=f"^here: .*{message}") as found:
        parse_json(text, Form, "here")
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 2000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: !!bool maybe", "maybe"),
        ("x: !!timestamp x", "cannot be read as YAML"),
        ("[" * 3000 + "]" * 3000, "recursion"),
        ("a: &a [1]\nb: *a", "references are not read"),
        ("x: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("x: [", "expected"),
        ("- 1", "holds no mapping"),
    ],
)
def test_other_yaml_is_refused_in_one_short_line(text, message, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as found:
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 600


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setitem(reading._MOST_BYTES, ".json", 4)
    (tmp_path / "a.json").write_text('{"size": 3}')
    with pytest.raises(ValueError, match=r"a\.json has 11 bytes, at most 4 are read"):
        read_json(tmp_path / "a.json", Form)
