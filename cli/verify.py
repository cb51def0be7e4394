"""Check a bundle against its manifest: names, hashes, graphs, tokenizer; and replay its golden vectors here.

An index (`pocketrank index`) is checked against its index.json: names, sizes and hashes of all its files.

With --key its signature is checked first (`pocketrank sign`, or the official `model_signing sign key`), and nothing
of the bundle is run when that fails. Exit code 0 when every check passes, 1 when one fails, 2 when the folder is
neither bundle nor index, or the key no key.

examples:
  pocketrank verify runs/pydocs/bundle
  pocketrank verify runs/pydocs/bundle --key key.pub
  pocketrank verify runs/pydocs/index
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from ..runtime.errors import InputError
from ..runtime.packaged import bundle_path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `verify`."""
    parser.add_argument(
        "bundle", type=bundle_path, metavar="BUNDLE|INDEX", help="folder of the bundle or index, or general-english"
    )
    parser.add_argument("--key", type=Path, metavar="PUBLIC.pem", help="check the signature with this public key too")
    parser.add_argument("--signature", type=Path, metavar="FILE", help="signature file (default: BUNDLE/model.sig)")
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Print every check and return 0, or 1 when one failed."""
    from ..runtime.search.index import INDEX_NAME
    from ..runtime.search.verify import verify_index
    from ..runtime.verify import verify_bundle
    from .output import print_json, print_line, print_table

    checks = []
    is_index = (arguments.bundle / INDEX_NAME).is_file()
    if is_index and (arguments.key or arguments.signature):
        raise InputError(
            f"{arguments.bundle} is an index, and only bundles are signed; leave --key and --signature out"
        )
    if arguments.key:
        from ..export.bundle.signature import check_signature

        checks.append(check_signature(arguments.bundle, arguments.key, arguments.signature))
    elif arguments.signature:
        raise InputError("--signature needs the public key to check it with; add --key PUBLIC.pem")
    if all(check.passed for check in checks):
        checks += (verify_index if is_index else verify_bundle)(arguments.bundle)
    failed = [check for check in checks if not check.passed]
    if arguments.json:
        print_json({"passed": not failed, "checks": [asdict(check) for check in checks]})
    else:
        rows = [(check.name, "pass" if check.passed else "FAIL", check.detail) for check in checks]
        print_table(f"Verification of {arguments.bundle}", ("check", "result", "detail"), rows)
        verdict = f"{len(failed)} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed"
        print_line(verdict)
    return 1 if failed else 0
