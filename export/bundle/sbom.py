"""`sbom.cdx.json`: a bundle's bill of materials, as CycloneDX 1.7 has it for models (ML-BOM).

It says what the student learned from (teacher, data, with licences), which packages made it, what a device needs and
how good it was measured to be. What is not known, such as the energy of the training, says `unknown`. There is no time
and no random number in it, so that the same bundle always has the same bytes.

Format: https://cyclonedx.org/docs/1.7/json/
"""

import re
import uuid
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from ...runtime.files import json_bytes
from ...runtime.manifest import TOKENIZER_NAME, FileEntry
from .facts import BundleFacts, Source

SBOM_NAME = "sbom.cdx.json"
SPEC_VERSION = "1.7"
UNKNOWN = "unknown"
RUNTIME_PACKAGES = ("numpy", "tokenizers", "onnxruntime")
# Licences that are written as an SPDX id; any other text is a name, which no reader takes for an id.
_SPDX_IDS = (
    *("0BSD", "AFL-3.0", "AGPL-3.0-only", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-3.0", "CC-BY-4.0"),
    *("CC-BY-NC-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "ODC-By-1.0", "ODbL-1.0"),
    *("PSF-2.0", "Python-2.0", "Unlicense", "Zlib"),
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def sbom_bytes(
    facts: BundleFacts, files: Mapping[str, FileEntry], config: Mapping[str, Any], default: str, dimension: int
) -> bytes:
    """Return the content of `sbom.cdx.json`.

    `files` are the bundle's files, `config` its `config.json`, `default` the name of the graph that is shipped and
    `dimension` that of its vectors.
    """
    licence = facts.licences.get("weights", "")
    models = facts.models or [
        Source(facts.teacher.id, "teacher", licence, facts.teacher.revision, facts.teacher.sha256)
    ]
    parts = [
        *(_file(name, files[name], licence) for name in (TOKENIZER_NAME, "projection.safetensors") if name in files),
        *(_source(f"model:{number}", "machine-learning-model", source) for number, source in enumerate(models)),
        *(_source(f"data:{number}", "data", source) for number, source in enumerate(facts.data)),
        *(_needed_package(requirement) for requirement in metadata.requires("pocketrank") or ()),
    ]
    parts = [part for part in parts if part]
    made_with = [_package(name, version) for name, version in sorted(facts.packages.items())]
    card = _model_card(facts, config, dimension, [part["bom-ref"] for part in parts if part["type"] == "data"])
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {
            "tools": {
                "components": [
                    {"type": "application", "name": "pocketrank", "version": metadata.version("pocketrank")},
                ]
            },
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "bundle",
                "supplier": {"name": UNKNOWN},
                "authors": [{"name": UNKNOWN}],
                "name": facts.name,
                "version": files[default].sha256[:12],
                "description": f"A text encoder for search, distilled from {facts.teacher.id}",
                "hashes": _hashes(files[default].sha256),
                "licenses": _licences(licence),
                "modelCard": card,
                "properties": _properties(
                    {
                        "file": default,
                        "version": "the first digits of the SHA-256 of this file",
                        "timestamp": "left out: the same recipe and seed give the same bytes",
                    }
                ),
            },
        },
        "components": [*parts, *made_with],
        "dependencies": [{"ref": "bundle", "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    identifier = uuid.uuid5(uuid.NAMESPACE_URL, json_bytes(content).decode("utf-8"))
    return json_bytes({"bomFormat": "CycloneDX", "specVersion": SPEC_VERSION, "serialNumber": identifier.urn} | content)


def _model_card(facts: BundleFacts, config: Mapping[str, Any], dimension: int, data: list[str]) -> dict[str, Any]:
    figures = [*facts.quality.items(), *facts.parity.items()]
    static = not config.get("num_hidden_layers")
    unknown = {} if data else {"training-data": UNKNOWN}
    return {
        "modelParameters": {
            "approach": {"type": "self-supervised"},
            "task": "sentence-similarity",
            "architectureFamily": "static token embeddings" if static else "transformer",
            "modelArchitecture": (config.get("architectures") or [UNKNOWN])[0],
            **({"datasets": [{"ref": reference} for reference in data]} if data else {}),
            "inputs": [{"format": f"text of up to {facts.max_length} tokens: input_ids and attention_mask, int64"}],
            "outputs": [{"format": f"sentence_embedding, float32, {dimension} dimensions, length 1"}],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [
                {"type": name, "value": f"{figure.value:.6g} {figure.unit}".strip(), "slice": figure.method}
                for name, figure in figures
            ]
            or [{"type": UNKNOWN, "value": UNKNOWN}]
        },
        "considerations": {
            "users": ["developers of search on devices"],
            "useCases": ["ranking texts by meaning, offline, in the language and the subject of the training data"],
            "technicalLimitations": [f"texts are cut at {facts.max_length} tokens; other languages were not measured"],
            "performanceTradeoffs": ["smaller and faster than the teacher, and less exact: see the metrics"],
            "ethicalConsiderations": [{"name": "not assessed", "mitigationStrategy": UNKNOWN}],
            "fairnessAssessments": [{"groupAtRisk": UNKNOWN, "mitigationStrategy": UNKNOWN}],
            "environmentalConsiderations": {"properties": _properties({"training-energy": UNKNOWN})},
        },
        "properties": _properties(
            {
                "training": "distillation: the teacher's vectors are the target, judgements are optional",
                "quantization": "; ".join(f"{name}: {words}" for name, words in facts.quantization.items()),
                "seed": str(facts.seed),
                **unknown,
            }
        ),
    }


def _file(name: str, entry: FileEntry, licence: str) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{name}",
        "name": name,
        "version": entry.sha256[:12],
        "scope": "required" if name == TOKENIZER_NAME else "optional",
        "hashes": _hashes(entry.sha256),
        "licenses": _licences(licence),
    }


def _source(reference: str, kind: str, source: Source) -> dict[str, Any]:
    purl = _model_purl(source) if kind == "machine-learning-model" else ""
    return {
        "type": kind,
        "bom-ref": reference,
        "name": source.name,
        "version": source.version or UNKNOWN,
        "description": source.role,
        "scope": "excluded",  # learned from, not needed to run
        **({"hashes": _hashes(source.sha256)} if source.sha256 else {}),
        "licenses": _licences(source.licence),
        **({"purl": purl} if purl else {}),
        **({"data": [{"type": "dataset", "name": source.name, "description": source.role}]} if kind == "data" else {}),
        **({} if source.sha256 else {"properties": _properties({"sha256": UNKNOWN})}),
    }


def _model_purl(source: Source) -> str:
    if source.name.startswith("package:"):
        return _pypi(source.name.removeprefix("package:"), source.version)
    hub = "/" in source.name and _COMMIT.fullmatch(source.version)
    return f"pkg:huggingface/{source.name}@{source.version}" if hub else ""


def _needed_package(requirement: str) -> dict[str, Any] | None:
    """Return one of the packages that a device needs from a line of our own requirements, `None` for any other."""
    name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
    versions = requirement[len(name) :]
    if name not in RUNTIME_PACKAGES or ";" in versions:
        return None
    return {
        "type": "library",
        "bom-ref": f"runtime:{name}",
        "name": name,
        "versionRange": f"vers:pypi/{'|'.join(versions.split(','))}",
        "isExternal": True,  # a device brings it along
        "description": "needed to run the bundle",
        "scope": "required",
        "licenses": _licences(installed_licence(name)),
        "purl": _pypi(name, ""),
    }


def _package(name: str, version: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": f"made-with:{name}",
        "name": name,
        "version": version,
        "description": "made the bundle, not needed to run it",
        "scope": "excluded",
        "licenses": _licences("PSF-2.0" if name == "python" else installed_licence(name)),
        "purl": f"pkg:generic/python@{version}" if name == "python" else _pypi(name, version),
    }


def installed_licence(name: str) -> str:
    """Return the licence that an installed distribution declares, empty where it is absent or declares none."""
    try:
        declared = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    texts: list[str] = [*declared.get_all("License-Expression", []), *declared.get_all("License", [])]
    classifiers: list[str] = declared.get_all("Classifier", [])
    texts += [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License ::")]
    return next((text for text in texts if text and "\n" not in text), "")


def _pypi(name: str, version: str) -> str:
    normal = re.sub(r"[-_.]+", "-", name).lower()
    return f"pkg:pypi/{normal}@{version.replace('+', '%2B')}" if version else f"pkg:pypi/{normal}"


def _licences(text: str) -> list[dict[str, Any]]:
    if re.search(r" (AND|OR|WITH) ", text):
        return [{"expression": text}]
    known = next((name for name in _SPDX_IDS if name.lower() == text.lower()), "")
    return [{"license": {"id": known} if known else {"name": text or UNKNOWN}}]


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": f"pocketrank:{name}", "value": value} for name, value in values.items()]
