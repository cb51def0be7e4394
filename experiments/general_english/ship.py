"""Put a finished run of recipes/general-english.toml into the package.

Example: python -m experiments.general_english.ship runs/general-english data/general-english/sources.json

Writes `models/general-english/`: `bundle` (without the fp32 reference; later students start from the weights that it
stores), `sources.json` and a README with the licences of the texts.
"""

import argparse
import dataclasses
import shutil
from pathlib import Path

from pocketrank.export.bundle.drop_reference import drop_reference_variant
from pocketrank.export.bundle.facts import BundleFacts, Source
from pocketrank.export.bundle.sbom import SBOM_NAME, sbom_bytes
from pocketrank.runtime.files import read_json, write_bytes
from pocketrank.runtime.manifest import MANIFEST_NAME, list_files, manifest_bytes, read_manifest, shipped_bytes
from pocketrank.runtime.packaged import GENERAL, MODELS


def readme(sources: Path, shipped: int) -> str:
    """Return what the folder's README says."""
    files = read_json(sources)["files"]
    rows = "".join(
        f"| {file['file'].removesuffix('.txt.gz')} | {file['used_as']} | {file['texts']:,} "
        f"| {file['licence']} | {file['source']} |\n"
        for file in files
    )
    return f"""# general-english

A student of all-MiniLM-L6-v2 (Apache-2.0) for general English, made by `recipes/general-english.toml`. `bundle` is
what `pocketrank search`, `index` and the other commands use under the name `general-english`
({shipped / 1e6:.2f} MB shipped: model and tokenizer). Students of other corpora start from its weights
(`student.initialise = "general"`).

Weights: Apache-2.0, as pocketrank itself. Texts that it was trained on (their vectors, not the texts, are what it
learnt), chosen by `experiments/general_english/texts.py`; `sources.json` has the hashes:

| texts | used as | number | licence | source |
| --- | --- | --- | --- | --- |
{rows}"""


def write_bill(bundle: Path, sources: Path) -> None:
    """Write the bill of materials of the shipped bundle, with every file of texts, and list it in the manifest."""
    manifest = read_manifest(bundle)
    facts = BundleFacts(
        name=manifest.name,
        seed=manifest.seed,
        teacher=manifest.teacher,
        max_length=manifest.max_length,
        quantization={name: variant.quantization for name, variant in manifest.variants.items()},
        licences=manifest.licences,
        quality=manifest.quality,
        parity=manifest.parity,
        data=[
            Source(file["file"], f"{file['texts']:,} {file['used_as']}", file["licence"], sha256=file.get("sha256", ""))
            for file in read_json(sources)["files"]
        ],
    )
    model = manifest.variants[manifest.default_variant].file
    config = read_json(bundle / "config.json")
    write_bytes(bundle / SBOM_NAME, sbom_bytes(facts, manifest.files, config, model, manifest.dimension))
    write_bytes(bundle / MANIFEST_NAME, manifest_bytes(dataclasses.replace(manifest, files=list_files(bundle))))


def main() -> None:
    """Copy, shrink, describe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--out", type=Path, default=MODELS / GENERAL)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out / "bundle", ignore_errors=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    slim = drop_reference_variant(arguments.run / "bundle", arguments.out / "bundle")
    # The weight of BM25 was chosen on first sentences of its own passages, which exact words find: no guide elsewhere.
    manifest = dataclasses.replace(slim, bm25_weight=None)
    write_bytes(arguments.out / "bundle" / MANIFEST_NAME, manifest_bytes(manifest))
    write_bill(arguments.out / "bundle", arguments.sources)
    shutil.copyfile(arguments.sources, arguments.out / "sources.json")
    shipped = shipped_bytes(manifest)
    write_bytes(arguments.out / "README.md", readme(arguments.sources, shipped).encode())
    total = sum(path.stat().st_size for path in arguments.out.rglob("*") if path.is_file())
    print(f"{arguments.out}: {shipped:,} bytes shipped, {total:,} bytes in all")


if __name__ == "__main__":
    main()
