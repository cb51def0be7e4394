"""What a student learned from, for the bill of materials: models and data, with versions, licences and hashes."""

from importlib import metadata
from pathlib import Path
from typing import Any

from ...export.bundle.facts import Source
from ...export.bundle.sbom import installed_licence
from ...runtime.files import read_json, sha256_file
from ...runtime.manifest import read_manifest
from ...runtime.packaged import GENERAL, packaged_folder
from ..corpus.output import CorpusOutput
from ..distill.output import DistillOutput
from ..settings import Recipe
from ..stage import StageContext
from ..student.pretrained import general_fingerprint
from ..teacher.output import CrossEncoderOutput, TeacherOutput


def model_sources(context: StageContext) -> list[Source]:
    """Return the teacher (each member of an ensemble), the cross-encoder and the student that training started from."""
    teacher = TeacherOutput.of(context).record()
    sources = [_model(record, "teacher") for record in teacher.get("several") or [teacher]]
    cross_encoder = CrossEncoderOutput.of(context).record()
    if cross_encoder["use"]:
        sources.append(_model(cross_encoder, "cross-encoder: its scores are a target too"))
    if DistillOutput.of(context).start()["start"] == "general":
        sources.append(_general(context.recipe))
    return sources


def _model(record: dict[str, Any], role: str) -> Source:
    licence = record["licences"].get("weights", "")
    version = record["revision"]
    if record["id"].startswith("package:"):
        version = metadata.version(record["id"].removeprefix("package:"))
    return Source(record["id"], role, "" if licence == "unknown" else licence, version, record["sha256"])


def _general(recipe: Recipe) -> Source:
    sha256 = general_fingerprint(recipe.student)["general/weights"]
    role = "pretrained student: training started from its weights"
    if recipe.student.general:
        return Source(Path(recipe.student.general).name, role, sha256=sha256)
    manifest = read_manifest(packaged_folder(GENERAL) / "bundle")
    return Source(GENERAL, role, manifest.licences.get("weights", ""), manifest.code_version, sha256)


def data_sources(context: StageContext) -> list[Source]:
    """Return the corpus as it was read, what it was made of, and the files of texts to train on.

    The hash of a corpus is that of the documents, queries and judgements after selection, not of a download.
    """
    corpus = context.recipe.corpus
    record = read_json(CorpusOutput.of(context).folder / "manifest.json")
    role, sha256 = "documents, queries and judgements", record["sha256"]
    if corpus.source == "pydocs":
        sources = [Source("Python documentation", role, "PSF-2.0", record["python"], sha256)]
        distributions = metadata.packages_distributions()
        for name, version in record["packages"].items():
            licence = installed_licence(distributions.get(name, [name])[0])
            sources.append(
                Source(f"docstrings of {name}", "documents, within the hash of the corpus", licence, version)
            )
    elif corpus.source == "hub":
        sources = [Source(corpus.path, role, corpus.licence, corpus.revision, sha256)]
    else:
        sources = [Source(Path(corpus.path).name, role, corpus.licence, sha256=sha256)]
    return sources + [
        Source(Path(name).name, "texts", sha256=sha256_file(Path(name))) for name in context.recipe.queries.files
    ]
