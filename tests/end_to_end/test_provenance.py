"""Other tools agree: the official `model_signing` on signatures, in both directions, CycloneDX on the SBOM's schema.

They live in the environment of the openers; where it is missing the tests are skipped with the command that makes it.
"""

import base64
import json
import shutil
import subprocess

import pytest
from builders.keys import write_keys
from builders.tiny_recipe import REPOSITORY
from pocketrank.runtime.packaged import bundle_path

CURVES = ("SECP256R1", "SECP384R1", "SECP521R1")


@pytest.fixture(scope="module")
def python():
    """Return the Python of the openers, or skip and say how its environment is made."""
    path = REPOSITORY / ".venv-openers" / "bin" / "python"
    if not path.exists():
        pytest.skip("no environment .venv-openers; make it: tests/openers/setup openers")
    return path


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False)


def official(python, action, bundle, kind, key):
    return run(python, "-m", "model_signing", action, "key", bundle, kind, key, "--signature", bundle / "model.sig")


@pytest.mark.parametrize("curve", CURVES)
def test_the_official_tool_verifies_our_signature(python, bundle, tmp_path, pocketrank, curve):
    private, public = write_keys(tmp_path / "keys", curve)
    assert pocketrank("sign", bundle, "--key", private).returncode == 0
    done = official(python, "verify", bundle, "--public_key", public)
    assert done.returncode == 0 and "Verification succeeded" in done.stdout, done.stderr
    (bundle / "README.md").write_text("changed")
    done = official(python, "verify", bundle, "--public_key", public)
    assert done.returncode == 1 and "README.md" in done.stderr


@pytest.mark.parametrize("curve", CURVES)
def test_we_verify_a_signature_of_the_official_tool(python, bundle, tmp_path, pocketrank, curve):
    private, public = write_keys(tmp_path / "keys", curve)
    done = official(python, "sign", bundle, "--private_key", private)
    assert done.returncode == 0, done.stderr
    done = pocketrank("verify", bundle, "--key", public)
    assert done.returncode == 0 and "signature" in done.stdout, done.stdout
    (bundle / "README.md").write_text("changed")
    done = pocketrank("verify", bundle, "--key", public)
    assert done.returncode == 1 and "README.md: changed" in done.stdout


def test_both_sign_the_same_statement(python, bundle, tmp_path, pocketrank):
    """Names, digests, their order and the digest over them; the official one ignores files of git as well."""
    private, _ = write_keys(tmp_path / "keys")
    statements = []
    for sign in (
        lambda: pocketrank("sign", bundle, "--key", private),
        lambda: official(python, "sign", bundle, "--private_key", private),
    ):
        assert sign().returncode == 0
        content = json.loads((bundle / "model.sig").read_bytes())
        statement = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
        statement["predicate"]["serialization"]["ignore_paths"].clear()
        statements.append((content["mediaType"], content["verificationMaterial"], statement))
    assert statements[0] == statements[1]


@pytest.mark.parametrize("which", ["tiny", "general-english"])
def test_the_bill_of_materials_is_valid(python, tiny_bundle, which):
    folder = tiny_bundle if which == "tiny" else bundle_path(which)
    done = run(python, REPOSITORY / "tests" / "openers" / "cyclonedx_opener.py", folder / "sbom.cdx.json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
