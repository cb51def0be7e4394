"""A folder as `huggingface_hub` keeps it: `snapshots/<revision>/` holds links to files in `blobs/`."""

import os
from pathlib import Path

from pocketrank.runtime.files import sha256_file

REVISION = "0123456789abcdef0123456789abcdef01234567"


def hub_cache(folder: Path, cache: Path) -> Path:
    """Copy `folder` to `cache/snapshots/<revision>`, every file a relative link into `cache/blobs`; return its path."""
    snapshot = cache / "snapshots" / REVISION
    (cache / "blobs").mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(REVISION)
    files = {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    for name, data in {**files, Path(".gitattributes"): b"*.onnx filter=lfs\n"}.items():
        link, loose = snapshot / name, cache / "blobs" / "new"
        loose.write_bytes(data)
        blob = loose.rename(cache / "blobs" / sha256_file(loose))
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot
