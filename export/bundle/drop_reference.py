"""A bundle without its fp32 reference: what goes into a package, where every megabyte is carried by everyone."""

import dataclasses
import shutil
from pathlib import Path

from ...runtime.errors import InputError
from ...runtime.files import json_bytes, write_bytes
from ...runtime.golden import golden_mapping, read_golden
from ...runtime.manifest import (
    GOLDEN_NAME,
    MANIFEST_NAME,
    SIGNATURE_NAME,
    Manifest,
    list_files,
    manifest_bytes,
    read_manifest,
)
from .assemble import REFERENCE


def drop_reference_variant(bundle: Path, output: Path) -> Manifest:
    """Copy the bundle to the new folder `output` without the file, the golden vectors and the entry of the reference.

    Raises `InputError` when the reference is what the bundle ships.
    """
    manifest = read_manifest(bundle)
    if manifest.default_variant == REFERENCE:
        raise InputError(f"{bundle} ships {REFERENCE!r} itself, nothing would be left; quantize it first")
    left = {name: variant for name, variant in manifest.variants.items() if name != REFERENCE}
    shutil.copytree(bundle, output, ignore=shutil.ignore_patterns(SIGNATURE_NAME))  # it would sign other files
    for name in manifest.variants.keys() - left.keys():
        (output / manifest.variants[name].file).unlink()
    golden = read_golden(output / GOLDEN_NAME)
    kept = {name: vectors for name, vectors in golden.variants.items() if name in left}
    write_bytes(output / GOLDEN_NAME, json_bytes(golden_mapping(dataclasses.replace(golden, variants=kept))))
    (output / MANIFEST_NAME).unlink()
    slim = dataclasses.replace(manifest, variants=left, files=list_files(output))
    write_bytes(output / MANIFEST_NAME, manifest_bytes(slim))
    return slim
