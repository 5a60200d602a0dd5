"""Files that people bring."""

import pytest

from core.io.errors import InputError
from core.runs.store import RunStore
from core.runs.uploads import keep


def test_the_same_files_are_kept_once_and_are_no_run(tmp_path):
    first = keep(tmp_path, {"a.json": b"{}", "b.safetensors": b"x"})
    assert keep(tmp_path, {"b.safetensors": b"x", "a.json": b"{}"}) == first
    assert keep(tmp_path, {"a.json": b"{ }", "b.safetensors": b"x"}) != first
    assert (first / "a.json").read_bytes() == b"{}"
    assert RunStore(tmp_path).list() == []
    assert RunStore(tmp_path).broken() == {}


@pytest.mark.parametrize("name", ["../evil.pth", "", ".hidden", "a/b.pth"])
def test_a_name_cannot_lead_elsewhere(tmp_path, name):
    with pytest.raises(InputError, match="plain file name"):
        keep(tmp_path, {name: b"x"})
    assert not list(tmp_path.rglob("*.pth"))
