"""Is an index what its `index.json` says? Names, sizes and hashes of every file, and whether it opens."""

from pathlib import Path

from ..errors import PocketrankError
from ..integrity.listed_files import walk_files
from ..verify import Check, check_file, check_names, guarded
from .index import ADVICE, INDEX_NAME, DocumentIndex, is_leftover, read_index_manifest


def verify_index(folder: Path) -> list[Check]:
    """Check every byte of the index in `folder` and return every check, failed ones included."""
    try:
        manifest = read_index_manifest(folder)
    except PocketrankError as error:
        return [Check(INDEX_NAME, False, str(error))]
    checks = [Check(INDEX_NAME, True, f"schema {manifest.schema_version}, sha256 {manifest.index_sha256[:12]}…")]
    present, strange = walk_files(folder)
    left = {name for name in present - {INDEX_NAME, *manifest.files} if is_leftover(name)}
    present -= {INDEX_NAME, *left}
    checks += check_names(manifest.files, present, [name for name in strange if not is_leftover(name)])
    checks += [check_file(folder, name, manifest.files[name], ADVICE) for name in sorted(present & set(manifest.files))]
    if left:
        checks.append(
            Check("leftovers", True, f"{len(left)} files of a change that was cut short; the next removes them")
        )
    checks.append(guarded("opens", lambda: _opened(folder)))
    return checks


def _opened(folder: Path) -> str:
    manifest = DocumentIndex.open(folder).manifest
    return f"{manifest.documents:,} documents, {manifest.count:,} passages"
