import errno
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.files import (
    atomic_folder,
    disk_errors,
    is_half_replaced,
    json_bytes,
    read_json,
    read_text,
    read_toml,
    remove_leftovers,
    require_space,
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


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "out"
    with atomic_folder(target) as partial:
        (partial / "a").write_text("1")
        assert not target.exists()
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as partial:
        (partial / "a").write_text("2")
        raise KeyboardInterrupt
    assert (target / "a").read_text() == "1" and entries(target) == ["a"] and entries(tmp_path) == ["out"]
    with atomic_folder(target) as partial:
        (partial / "b").write_text("3")
    assert entries(target) == ["b"] and entries(tmp_path) == ["out"]


def test_a_folder_that_is_there_is_replaced_without_being_renamed(tmp_path):
    target = tmp_path / ("x" * 250)  # as long as a name can be
    target.mkdir()
    for name in ("manifest.json", "old"):
        (target / name).write_text("old")
    (target / "sub").mkdir()
    (target / "lost+found").mkdir()
    (target / ".hidden").write_text("of another program")
    number = target.stat().st_ino
    with atomic_folder(target, "manifest.json") as partial:
        (partial / "sub").mkdir()
        for name in ("a", "manifest.json", "sub/b"):
            (partial / name).write_text("new")
        assert (target / "manifest.json").read_text() == "old"
    assert entries(target) == [".hidden", "a", "lost+found", "manifest.json", "sub"]
    assert target.stat().st_ino == number and (target / "sub" / "b").read_text() == "new"


def test_a_killed_replacement_lacks_its_last_file_and_the_next_one_cleans_up(tmp_path, monkeypatch):
    target = tmp_path / "out"
    target.mkdir()
    (target / "manifest.json").write_text("old")

    def killed(path, other):
        if path.name == "b":
            raise KeyboardInterrupt
        os.rename(path, other)

    def replace():
        with atomic_folder(target, "manifest.json") as partial:
            for name in ("a", "b", "manifest.json"):
                (partial / name).write_text("new")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            replace()
    assert not (target / "manifest.json").exists() and is_half_replaced(target)
    replace()
    assert entries(target) == ["a", "b", "manifest.json"] and not is_half_replaced(target)


def test_only_what_dead_processes_left_is_removed(tmp_path):
    (tmp_path / ".out.1.partial").mkdir()
    (tmp_path / ".other.1.partial").mkdir()
    with atomic_folder(tmp_path / "out") as living:
        remove_leftovers(tmp_path, "out")
        assert entries(tmp_path) == [".other.1.partial", living.name]
        remove_leftovers(tmp_path)
        assert entries(tmp_path) == [living.name]


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV, errno.EROFS])
def test_a_target_that_cannot_be_written_is_refused_before_the_work(code, tmp_path, monkeypatch):
    def refuse(path, other):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(InputError, match="choose another folder"), atomic_folder(tmp_path / "out"):
        pytest.fail("the work was begun")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"), atomic_folder(tmp_path / "file"):
        pytest.fail("the work was begun")


MOUNTS = {
    "a mount point": "mkdir out && mount --bind out out",
    "a disk of its own": "mkdir out && mount -t tmpfs none out",
    "a layer of an image": (
        "mkdir -p lower/out/sub upper work && echo old > lower/out/manifest.json && echo old > lower/out/sub/file && "
        "mkdir image && mount -t overlay overlay -o userxattr,lowerdir=lower,upperdir=upper,workdir=work image && "
        "cd image"
    ),
}


@pytest.mark.parametrize("kind", MOUNTS)
def test_a_mount_is_written_to(kind, tmp_path):
    script = (
        "import sys; from pathlib import Path; from pocketrank.runtime.files import atomic_folder\n"
        "out = Path('out')\n"
        "try:\n    out.rename('elsewhere'); sys.exit('it can be renamed')\nexcept OSError: pass\n"
        "for text in ('new', 'newer'):\n"
        "    with atomic_folder(out, 'manifest.json') as partial:\n"
        "        (partial / 'sub').mkdir(); (partial / 'sub' / 'file').write_text(text)\n"
        "        (partial / 'manifest.json').write_text(text)\n"
        "print(sorted(path.name for path in out.iterdir()), (out / 'sub' / 'file').read_text())\n"
    )
    mounting = ["unshare", "-Urm", "sh", "-c", f'{MOUNTS[kind]} && echo mounted && exec "$0" -c "$1"']
    if not shutil.which("unshare"):
        pytest.skip("this machine has no unshare to mount with")
    done = subprocess.run(
        [*mounting, sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if not done.stdout.startswith("mounted"):
        pytest.skip(f"this machine does not let a test mount: {done.stderr.strip()}")
    assert done.stdout.splitlines()[1:] == ["['manifest.json', 'sub'] newer"], done.stderr


def test_too_little_space_is_refused_with_the_numbers(tmp_path):
    require_space(tmp_path / "not" / "yet", 1, "an index")
    with pytest.raises(InputError, match=r"an index needs about 1,000,000,000,000,000,000 bytes \(estimated\)"):
        require_space(tmp_path / "not" / "yet", 10**18, "an index")


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
    with pytest.raises(InputError, match="lead out of the folder"):
        safe_join(tmp_path, name)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\u202eb", "\x7f", "a\u2028b", "x" * 256, "ä" * 128])
def test_names_are_printable_and_of_a_length_that_file_systems_take(tmp_path, name):
    with pytest.raises(InputError) as caught:
        safe_join(tmp_path, name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


def test_links_are_followed_for_hashes_decide_what_a_file_is(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    assert safe_join(tmp_path / "in", "link") == tmp_path / "in" / "link"
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


def test_a_packed_budget_is_not_unpacked(tmp_path):
    path = tmp_path / "budget.toml.gz"
    path.write_bytes(gzip.compress(b"# " + b" " * 5000))
    with pytest.raises(InputError, match=r"budget\.toml\.gz, line 1: .*; unpack the file"):
        read_toml(path)
