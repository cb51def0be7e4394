import errno
import json
import os
from pathlib import Path

import pytest
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.files import (
    atomic_folder,
    disk_errors,
    json_bytes,
    read_json,
    read_text,
    read_toml,
    safe_join,
    sha256_bytes,
    sha256_file,
    write_bytes,
)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file"
    write_bytes(path, b"old")
    assert path.read_bytes() == b"old" and sha256_file(path) == sha256_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="no space left on the disk"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["file"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "out"
    with atomic_folder(target) as partial:
        (partial / "a").write_text("1")
        assert not target.exists()
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as partial:
        (partial / "a").write_text("2")
        raise KeyboardInterrupt
    assert (target / "a").read_text() == "1" and os.listdir(tmp_path) == ["out"]
    with atomic_folder(target) as partial:
        (partial / "b").write_text("3")
    assert os.listdir(target) == ["b"] and os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("code", "message"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "choose another folder")]
)
def test_disk_errors_say_what_to_do(code, message):
    with pytest.raises(InputError, match=message), disk_errors(Path("x")):
        raise OSError(code, os.strerror(code))
    with pytest.raises(OSError), disk_errors(Path("x")):
        raise OSError(errno.EIO, "other errors pass")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/../x", "/etc/passwd", "a\\b", "C:x", "a//b", "a\0b", "./a", "a/.."]
)
def test_names_cannot_leave_the_folder(tmp_path, name):
    if name in ("./a",):  # the path type drops a leading dot: the same plain name, still inside
        assert safe_join(tmp_path, name) == tmp_path / "a"
        return
    with pytest.raises(InputError, match="out of the folder"):
        safe_join(tmp_path, name)


def test_links_cannot_leave_the_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to("/etc")
    with pytest.raises(InputError, match="a link that leads out"):
        safe_join(tmp_path / "in", "link/passwd")
    assert safe_join(tmp_path / "in", "onnx/model.onnx") == tmp_path / "in" / "onnx" / "model.onnx"


def test_unreadable_input_is_named(tmp_path):
    bad = tmp_path / "bad.json"
    with pytest.raises(InputError, match="does not exist"):
        read_text(bad)
    with pytest.raises(InputError, match="is a folder"):
        read_text(tmp_path)
    bad.write_bytes(b"one\ntwo\xff")
    with pytest.raises(InputError, match="line 2: byte 7 is not valid UTF-8"):
        read_text(bad)
    bad.write_text('{"a":\n 1,}')
    with pytest.raises(InputError, match="line 2, column"):
        read_json(bad)
    bad.write_text("[" * 100_000)
    with pytest.raises(InputError, match="nested too deeply"):
        read_json(bad)
    bad.write_text("a = [")
    with pytest.raises(InputError, match="not valid TOML"):
        read_toml(bad)


def test_json_bytes_are_repeatable_and_strict():
    assert json_bytes({"b": 1, "a": "ü"}) == '{\n  "b": 1,\n  "a": "ü"\n}\n'.encode()
    name = {"path": "caf\udce9"}
    assert json.loads(json_bytes(name)) == name
    with pytest.raises(ValueError):
        json_bytes({"x": float("nan")})
