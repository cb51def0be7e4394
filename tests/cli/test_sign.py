"""The commands `sign` and `verify --key`: exit codes, one line for each failure, and nothing run that is not signed."""

import json

import pytest
from builders.keys import write_keys
from builders.miniature import write_bundle


@pytest.fixture
def keys(tmp_path):
    return write_keys(tmp_path / "keys")


def test_sign_and_verify(tmp_path, keys, pocketrank):
    private, public = keys
    bundle = write_bundle(tmp_path / "bundle")
    done = pocketrank("verify", bundle, "--key", public, "--json")
    checks = json.loads(done.stdout)["checks"]
    assert done.returncode == 1 and len(checks) == 1 and "pocketrank sign" in checks[0]["detail"]

    done = pocketrank("sign", bundle, "--key", private)
    assert done.returncode == 0 and done.stdout == f"signed: {bundle / 'model.sig'}\n"
    checks = json.loads(pocketrank("verify", bundle, "--json").stdout)["checks"]
    done = pocketrank("verify", bundle, "--key", public, "--json")
    assert done.returncode == 0
    assert [check["name"] for check in json.loads(done.stdout)["checks"][1:]] == [check["name"] for check in checks]

    (bundle / "config.json").write_text("{}")
    done = pocketrank("verify", bundle, "--key", public)
    assert done.returncode == 1 and "config.json: changed" in done.stdout and "1 of 1 checks failed" in done.stdout


def test_a_new_key_is_private_signs_and_is_never_replaced(tmp_path, keys, pocketrank):
    bundle, key = write_bundle(tmp_path / "bundle"), tmp_path / "new" / "demo.pem"
    done = pocketrank("sign", bundle, "--key", key, "--new-key")
    assert done.returncode == 0 and done.stdout.startswith(f"public key: {key.with_suffix('.pub')}\n")
    assert key.stat().st_mode & 0o777 == 0o600
    assert pocketrank("verify", bundle, "--key", key.with_suffix(".pub")).returncode == 0
    before = key.read_bytes()
    done = pocketrank("sign", bundle, "--key", key, "--new-key")
    assert done.returncode == 2 and "is not replaced" in done.stderr and key.read_bytes() == before


@pytest.mark.parametrize("words", [("--key", "absent.pem"), ("--signature", "model.sig")])
def test_bad_input(tmp_path, pocketrank, words):
    pytest.importorskip("cryptography", reason="no package cryptography; install it: pip install 'pocketrank[sign]'")
    done = pocketrank("verify", write_bundle(tmp_path / "bundle"), *words)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and not done.stdout


def test_what_comes_with_the_package_is_not_written_to(keys, pocketrank):
    done = pocketrank("sign", "general-english", "--key", keys[0])
    assert done.returncode in (2, 3) and len(done.stderr.splitlines()) == 1
