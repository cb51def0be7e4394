"""Reports by release: from files and folders, or from the tags of a git repository."""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import InputError, UnavailableError
from .report import Report, read_report, report_from

REPORT_NAME = "report.json"
_PRERELEASE = re.compile(r"[-._]?(dev|a|alpha|b|beta|c|rc|pre|preview)[-._]?", re.IGNORECASE)
_GIT_SECONDS = 60


@dataclass(frozen=True)
class Release:
    """A release and its report."""

    name: str
    report: Report


@dataclass(frozen=True)
class Skipped:
    """A release without a report that can be read."""

    name: str
    reason: str


def version_key(name: str) -> list[tuple[int, int, str]]:
    """Return what sorts release names: v1.9 before v1.10, and v1.0-rc1 before v1.0 before v1.0.1."""
    key = []
    for index, part in enumerate(re.split(r"([0-9]+)", name)):
        if index % 2:
            key.append((2, int(part), part))
        elif part:
            before_release = _PRERELEASE.fullmatch(part)
            word = before_release[1].lower() if before_release else part
            key.append((0 if before_release else 2, 0, "" if word == "dev" else word))
    return [*key, (1, 0, "")]  # the end stands after `rc` and before whatever else goes on


def read_releases(paths: Sequence[Path], *, as_given: bool = False) -> list[Release]:
    """Read every report of files and folders, sorted by release name unless `as_given`.

    A file `v1.0.json` is the report of v1.0, and so is `v1.0/report.json`. Raises `InputError` for a path without
    reports, a file that is no report, and for two reports of one release.
    """
    files: dict[str, Path] = {}
    for path in paths:
        for name, file in _files(path):
            if name in files:
                raise InputError(f"{files[name]} and {file} are both the report of {name}; rename one of them")
            files[name] = file
    names = list(files) if as_given else sorted(files, key=version_key)
    return [Release(name, read_report(files[name])) for name in names]


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the releases at a path, those of a folder sorted by name."""
    if not path.is_dir():
        yield (path.resolve().parent.name if path.name == REPORT_NAME else path.stem), path
        return
    if (path / REPORT_NAME).is_file():
        yield path.resolve().name, path / REPORT_NAME
        return
    found = [(file.stem, file) for file in path.glob("*.json") if file.is_file()]
    found += [(file.parent.name, file) for file in path.glob(f"*/{REPORT_NAME}")]
    if not found:
        raise InputError(
            f"{path} holds no report; put one there for each release, as {path / 'v1.0.json'} or "
            f"{path / 'v1.0' / REPORT_NAME}"
        )
    yield from sorted(found, key=lambda entry: version_key(entry[0]))


def read_tags(pattern: str, path: str, folder: Path) -> tuple[list[Release], list[Skipped]]:
    """Read the file `path` from each git tag that matches `pattern`, sorted by name.

    `folder` is inside the repository; `path` is relative to the repository's root. The repository is only read. A tag
    cannot be repaired, so that one without a readable report is skipped, with the reason. Raises `InputError` outside
    a repository and where no tag matches, `UnavailableError` without git.
    """
    for value, option in ((pattern, "--tags"), (path, "--path")):
        if not value or not value.isprintable():
            raise InputError(f"{option} {value!r} is no name; use printable characters")
    listed = _git(folder, "tag", "--list", "--", pattern)
    if listed.returncode:
        raise InputError(
            f"{folder.resolve()}: git lists no tags here ({_last_line(listed.stderr)}); run this inside a repository"
        )
    names = sorted(listed.stdout.decode("utf-8", "replace").split(), key=version_key)
    if not names:
        raise InputError(f"no tag matches {pattern!r}; see `git tag --list`")
    releases, skipped = [], []
    for name in names:
        # `refs/tags/` in front: never an option, and never a branch of the same name.
        shown = _git(folder, "cat-file", "blob", f"refs/tags/{name}:{path}")
        try:
            if shown.returncode:
                raise InputError(f"it has no file {path}")
            releases.append(Release(name, _parse(shown.stdout, f"{name}:{path}")))
        except InputError as error:
            skipped.append(Skipped(name, str(error)))
    return releases, skipped


def _parse(data: bytes, place: str) -> Report:
    try:
        mapping = json.loads(data)
    except (ValueError, RecursionError):
        raise InputError(f"{place} is not valid JSON") from None
    return report_from(mapping, place)


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, check=False, timeout=_GIT_SECONDS
        )
    except FileNotFoundError:
        raise UnavailableError("--tags needs git; install it, or name a folder of reports") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"git {words[0]} took more than {_GIT_SECONDS} s; name a folder of reports") from None


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no message"
