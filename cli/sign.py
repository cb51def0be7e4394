"""Sign a bundle with a private key, offline: OpenSSF Model Signing v1.0, readable by the official `model_signing` too.

The key is an elliptic-curve key in PEM form; a password of it is taken from POCKETRANK_KEY_PASSWORD. Check the
signature with `pocketrank verify BUNDLE --key PUBLIC.pem`.

example:
  pocketrank sign runs/pydocs/bundle --key key.pem --new-key
  pocketrank verify runs/pydocs/bundle --key key.pub
"""

import argparse
from pathlib import Path

from ..runtime.errors import InputError
from ..runtime.packaged import bundle_path, is_packaged


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sign`."""
    parser.add_argument("bundle", type=bundle_path, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--key", type=Path, required=True, metavar="PRIVATE.pem", help="private key, PEM")
    parser.add_argument(
        "--new-key", action="store_true", help="make the key first, and its public half beside it (.pub)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="signature file (default: BUNDLE/model.sig)")


def execute(arguments: argparse.Namespace) -> int:
    """Sign and print where the signature is."""
    from ..export.bundle.signature import sign_bundle, write_key
    from .output import print_line

    if is_packaged(arguments.bundle) and not arguments.out:
        raise InputError(f"{arguments.bundle} comes with the package; name a file outside it with --out")
    if arguments.new_key:
        print_line(f"public key: {write_key(arguments.key)}")
    print_line(f"signed: {sign_bundle(arguments.bundle, arguments.key, arguments.out)}")
    return 0
