"""Signatures: what is signed verifies, and every change of file, key or signature is refused."""

import base64
import json
import sys

import pytest
from builders.keys import write_keys
from builders.miniature import write_bundle
from pocketrank.export.bundle.drop_reference import drop_reference_variant
from pocketrank.export.bundle.signature import PASSWORD_VARIABLE, check_signature, sign_bundle
from pocketrank.runtime.errors import InputError, UnavailableError, VerificationError
from pocketrank.runtime.verify import verify_bundle


@pytest.fixture
def keys(tmp_path):
    return write_keys(tmp_path / "keys")


@pytest.fixture
def signed(tmp_path, keys):
    bundle = write_bundle(tmp_path / "bundle")
    sign_bundle(bundle, keys[0])
    return bundle


def refused(bundle, key, signature=None):
    check = check_signature(bundle, key, signature)
    assert not check.passed
    return check.detail


@pytest.mark.parametrize("curve", ["SECP256R1", "SECP384R1", "SECP521R1"])
def test_a_signed_bundle_verifies(tmp_path, curve):
    bundle = write_bundle(tmp_path / "bundle")
    private, public = write_keys(tmp_path / "keys", curve)
    assert sign_bundle(bundle, private) == bundle / "model.sig"
    assert check_signature(bundle, public).passed
    assert all(check.passed for check in verify_bundle(bundle))


def test_the_statement_lists_every_file_and_nothing_else(signed):
    content = json.loads((signed / "model.sig").read_bytes())
    statement = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    names = [resource["name"] for resource in statement["predicate"]["resources"]]
    files = [path.relative_to(signed).as_posix() for path in signed.rglob("*") if path.is_file()]
    assert sorted(names) == sorted(set(files) - {"model.sig"})


def test_a_signature_may_lie_elsewhere(tmp_path, keys):
    bundle = write_bundle(tmp_path / "bundle")
    path = sign_bundle(bundle, keys[0], tmp_path / "signatures" / "one.sig")
    assert not (bundle / "model.sig").exists()
    assert check_signature(bundle, keys[1], path).passed
    assert "does not exist" in refused(bundle, keys[1])


def test_a_changed_file_is_refused(signed, keys):
    (signed / "config.json").write_text("{}")
    assert "config.json: changed" in refused(signed, keys[1])


def test_a_manifest_that_was_rewritten_with_its_file_is_refused(signed, keys):
    write_bundle(signed, seed=1)
    assert all(check.passed for check in verify_bundle(signed))
    assert "changed after it was signed" in refused(signed, keys[1])


def test_a_missing_and_an_added_file_and_a_linked_folder_are_refused(signed, keys):
    (signed / "onnx" / "model.sig").write_text("")  # by this name in the top folder alone
    assert "onnx/model.sig: not signed" in refused(signed, keys[1])
    (signed / "onnx" / "model.sig").unlink()
    content = (signed / "golden.json").read_bytes()
    (signed / "golden.json").unlink()
    assert "golden.json: signed but missing" in refused(signed, keys[1])
    (signed.parent / "golden.json").write_bytes(content)
    (signed / "golden.json").symlink_to(signed.parent / "golden.json")
    assert check_signature(signed, keys[1]).passed  # a link to a file is the file, as in a hub's cache
    (signed / "loop").symlink_to(signed)
    assert "loop is no plain file" in refused(signed, keys[1])


def test_another_key_is_refused(tmp_path, signed):
    assert "was not made with the key of" in refused(signed, write_keys(tmp_path / "others")[1])


def test_another_statement_under_the_same_signature_is_refused(signed, keys):
    content = json.loads((signed / "model.sig").read_bytes())
    payload = base64.b64decode(content["dsseEnvelope"]["payload"])
    content["dsseEnvelope"]["payload"] = base64.b64encode(payload.replace(b"model.sig", b"other.sig")).decode()
    (signed / "model.sig").write_text(json.dumps(content))
    assert "changed after it was signed" in refused(signed, keys[1])


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\xff", b"[]", b"{}", b"[" * 100_000),
        b'{"mediaType": 1, "verificationMaterial": {"publicKey": 2}, "dsseEnvelope": {}}',
    ],
    ids=range(6),
)
def test_what_is_no_signature_is_refused(signed, keys, content):
    (signed / "model.sig").write_bytes(content)
    assert "is no signature" in refused(signed, keys[1])


def test_a_signature_of_another_kind_is_refused(signed, keys):
    content = json.loads((signed / "model.sig").read_bytes())
    (signed / "model.sig").write_text(json.dumps(content | {"mediaType": "application/x"}))
    assert "application/x" in refused(signed, keys[1])


def test_a_bundle_that_fails_its_checks_is_not_signed(tmp_path, keys):
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "config.json").write_text("{}")
    with pytest.raises(VerificationError, match=r"is not signed: config\.json"):
        sign_bundle(bundle, keys[0])
    assert not (bundle / "model.sig").exists()


def test_a_protected_key_takes_its_password_from_the_environment(tmp_path, monkeypatch):
    bundle = write_bundle(tmp_path / "bundle")
    private, public = write_keys(tmp_path / "keys", password=b"secret")
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    with pytest.raises(InputError, match=f"protected by a password; put it into the variable {PASSWORD_VARIABLE}"):
        sign_bundle(bundle, private)
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    with pytest.raises(InputError, match=f"cannot be opened with {PASSWORD_VARIABLE}"):
        sign_bundle(bundle, private)
    monkeypatch.setenv(PASSWORD_VARIABLE, "secret")
    sign_bundle(bundle, private)
    assert check_signature(bundle, public).passed


def test_files_that_are_no_key_of_the_right_kind_are_input_errors(tmp_path, signed, keys):
    private, public = keys
    text = tmp_path / "text"
    text.write_text("no key")
    for path, message in ((text, "no private key"), (public, "no private key"), (tmp_path / "absent", "not exist")):
        with pytest.raises(InputError, match=message):
            sign_bundle(signed, path)
    for path, message in ((text, "no public key"), (private, "no public key"), (tmp_path / "absent", "not exist")):
        with pytest.raises(InputError, match=message):
            check_signature(signed, path)
    other = write_keys(tmp_path / "other", "SECP256K1")
    with pytest.raises(InputError, match="curve secp256k1, not of secp256r1"):
        sign_bundle(signed, other[0])
    with pytest.raises(InputError, match="curve secp256k1, not of secp256r1"):
        check_signature(signed, other[1])


def test_without_cryptography_the_extra_is_named(tmp_path, signed, keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(UnavailableError, match=r"pip install 'pocketrank\[sign\]'"):
        sign_bundle(signed, keys[0])
    with pytest.raises(UnavailableError, match=r"pip install 'pocketrank\[sign\]'"):
        check_signature(signed, keys[1])


def test_a_bundle_without_its_reference_takes_no_signature_along(signed, tmp_path):
    drop_reference_variant(signed, tmp_path / "slim")
    assert not (tmp_path / "slim" / "model.sig").exists()
