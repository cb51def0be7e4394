"""Write the lock of torch's CPU build: the hashes of its wheels, as an index of PyTorch's lists them.

Usage: torch_hashes.py VERSION INDEX LOCK. An index that is not reached leaves a lock of this version as it is.
"""

import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

PYTHONS = range(11, 15)
SYSTEMS = {  # platform as a marker says it: version, end of a wheel's name
    "linux": ("{}+cpu", r"manylinux\w+_(?:x86_64|aarch64)"),
    "darwin": ("{}", r"macosx_\w+_arm64"),
}


def lock(page: str, version: str) -> str:
    """Return a requirements file of the wheels that `page`, torch's page of the index, lists."""
    links = dict(re.findall(r"(torch-[^/\"#]+\.whl)#sha256=([0-9a-f]{64})", page.replace("%2B", "+")))
    parts = []
    for system, (local, tag) in SYSTEMS.items():
        pinned = local.format(version)
        names = (rf"torch-{re.escape(pinned)}-cp3{minor}-cp3{minor}-{tag}\.whl" for minor in PYTHONS)
        found = [sorted(link for link in links if re.fullmatch(name, link)) for name in names]
        if not all(found):
            sys.exit(f"the index lists no torch {pinned} for {system} and one of Python 3.11 to 3.14")
        hashes = [f"    --hash=sha256:{links[name]}" for names in found for name in names]
        parts.append(" \\\n".join([f"torch=={pinned} ; sys_platform == '{system}'", *hashes]))
    return "\n".join(parts) + "\n"


def main() -> None:
    """Read the index and write the lock."""
    version, index, path = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=60) as answer:
            page = answer.read().decode()
    except urllib.error.URLError as error:
        if f"torch=={version}+cpu" not in path.read_text(encoding="utf-8"):
            sys.exit(f"{index} is not reached ({error.reason}), and {path} holds another version of torch")
        sys.stderr.write(f"{index} is not reached; {path} stays as it is\n")
    else:
        path.write_text(f"# As {index} lists them.\n" + lock(page, version), encoding="utf-8")


if __name__ == "__main__":
    main()
