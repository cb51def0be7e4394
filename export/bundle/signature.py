"""Sign a bundle with a key of one's own, and check that signature: OpenSSF Model Signing v1.0, method `key`.

`model.sig` is a Sigstore bundle (JSON) around a DSSE envelope around an in-toto statement, which lists every file of
the bundle with its SHA-256. It is what `model_signing sign key` of the official tool writes and what
`model_signing verify key` reads. Nothing is sent anywhere; who owns the key is for the user to know.

Formats: https://github.com/sigstore/model-transparency (predicate `https://model_signing/signature/v1.0`),
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md.
"""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ...runtime.errors import InputError, PocketrankError, VerificationError
from ...runtime.extras import require
from ...runtime.files import read_bytes, sha256_bytes, sha256_file, write_bytes
from ...runtime.manifest import MANIFEST_NAME, SIGNATURE_NAME, list_files
from ...runtime.verify import Check, verify_bundle

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

PASSWORD_VARIABLE = "POCKETRANK_KEY_PASSWORD"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}  # curve -> hash, as Sigstore pairs them


def sign_bundle(bundle: Path, key_file: Path, output: Path | None = None) -> Path:
    """Sign every file of the folder `bundle` with a private key and return the signature's path.

    The signature goes to `output`, else to `model.sig` in the bundle. A password of the key is taken from the
    environment (`POCKETRANK_KEY_PASSWORD`). Raises `VerificationError` for a bundle that does not pass its own
    checks, `InputError` for a key that cannot sign, `UnavailableError` without the package `cryptography`.
    """
    key = _private_key(key_file)
    failed = [check for check in verify_bundle(bundle) if not check.passed]
    if failed:
        raise VerificationError(
            f"{bundle} is not signed: {failed[0].name}: {failed[0].detail} ({len(failed)} checks fail); "
            "run `pocketrank verify` and fix what it names"
        )
    payload = json.dumps(_statement(bundle.resolve().name, _digests(bundle)), indent=2).encode("utf-8")
    signature = key.sign(_pre_authentication_encoding(payload), _ecdsa(key.public_key(), key_file))
    content = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": _hint(key.public_key())}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode("ascii"),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode("ascii"), "keyid": ""}],
        },
    }
    path = output or bundle / SIGNATURE_NAME
    write_bytes(path, json.dumps(content, separators=(",", ":")).encode("utf-8"))
    return path


def write_key(path: Path) -> Path:
    """Write a new private key (P-256, PEM, readable by its owner alone) and return the path of its public half.

    The public half has the suffix `.pub`. Raises `InputError` where either file exists already,
    `UnavailableError` without the package `cryptography`.
    """
    require("a signature", "cryptography")
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    public = path.with_suffix(".pub")
    for existing in (path, public):
        if existing.exists():
            raise InputError(f"{existing} exists already and is not replaced; sign with it, or name another file")
    key = ec.generate_private_key(ec.SECP256R1())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def check_signature(bundle: Path, key_file: Path, signature_file: Path | None = None) -> Check:
    """Check `model.sig` (or `signature_file`) against a public key and every file of the folder `bundle`.

    The check fails, with the reason in its detail, for a missing or damaged signature, another key and a file that
    is changed, missing or not signed. Raises `InputError` for a file that is no public key and a folder that is none,
    `UnavailableError` without the package `cryptography`.
    """
    key = _public_key(key_file)
    if not bundle.is_dir():
        raise InputError(f"{bundle} is no folder; name the bundle that `pocketrank run` made")
    path = signature_file or bundle / SIGNATURE_NAME
    try:
        signed = _signed_digests(path, _open_envelope(path, key, key_file))
        _compare(signed, _digests(bundle))
    except PocketrankError as error:  # a link in the folder too
        return Check("signature", False, str(error))
    return Check("signature", True, f"{len(signed)} files signed with the key of {key_file.name}")


def _digests(bundle: Path) -> dict[str, str]:
    digests = {name: entry.sha256 for name, entry in list_files(bundle).items()}
    manifest = bundle / MANIFEST_NAME
    return digests | ({MANIFEST_NAME: sha256_file(manifest)} if manifest.is_file() else {})


def _statement(name: str, digests: Mapping[str, str]) -> dict[str, Any]:
    names = sorted(digests, key=PurePosixPath)  # the order of the official tool, folder by folder
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _root_digest([digests[name] for name in names])}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE_NAME],
            },
            "resources": [{"name": name, "algorithm": "sha256", "digest": digests[name]} for name in names],
        },
    }


def _root_digest(digests: list[str]) -> str:
    return sha256_bytes(b"".join(bytes.fromhex(digest) for digest in digests))


def _pre_authentication_encoding(payload: bytes) -> bytes:
    """Return what DSSE signs: the type and the payload, each with its length."""
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode("ascii") + payload


def _open_envelope(path: Path, key: "EllipticCurvePublicKey", key_file: Path) -> bytes:
    """Return the payload of a signature file once its signature is good; nothing else in it is believed before."""
    from cryptography.exceptions import InvalidSignature

    if not path.is_file():
        raise VerificationError(f"{path} does not exist, so nothing is signed; run `pocketrank sign` or fetch it")
    try:
        content = json.loads(read_bytes(path))
        envelope = content["dsseEnvelope"]
        kinds = (content["mediaType"], envelope["payloadType"])
        payload = base64.b64decode(envelope["payload"], validate=True)
        (entry,) = envelope["signatures"]
        signature = base64.b64decode(entry["sig"], validate=True)
        hint = content["verificationMaterial"]["publicKey"].get("hint")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise VerificationError(f"{path} is no signature made with a key; sign the bundle again") from None
    if kinds != (MEDIA_TYPE, PAYLOAD_TYPE):
        raise VerificationError(f"{path} holds {kinds[0]} with {kinds[1]}, which is not read here; sign again")
    try:
        key.verify(signature, _pre_authentication_encoding(payload), _ecdsa(key, key_file))
    except InvalidSignature:
        if hint == _hint(key):
            raise VerificationError(f"{path} was changed after it was signed; fetch the bundle again") from None
        raise VerificationError(
            f"{path} was not made with the key of {key_file}; take the key of whoever signed, or do not use the bundle"
        ) from None
    return payload


def _signed_digests(path: Path, payload: bytes) -> dict[str, str]:
    """Return the files that a statement lists, name -> SHA-256; the statement must be of the form that we sign."""
    try:
        statement = json.loads(payload)
        types = (statement["_type"], statement["predicateType"])
        (subject,) = statement["subject"]
        root, predicate = subject["digest"]["sha256"], statement["predicate"]
        method = (predicate["serialization"]["method"], predicate["serialization"]["hash_type"])
        rows = [(row["name"], row["algorithm"], row["digest"]) for row in predicate["resources"]]
        digests = {name: digest for name, _, digest in rows}
        consistent = _root_digest([digest for _, _, digest in rows]) == root and len(digests) == len(rows)
    except (ValueError, KeyError, TypeError):
        raise VerificationError(f"{path} signs something else than a model; sign the bundle again") from None
    if types != (STATEMENT_TYPE, PREDICATE_TYPE) or method != ("files", "sha256"):
        raise VerificationError(
            f"{path} signs {types[1]} by {' and '.join(map(str, method))}; sign {PREDICATE_TYPE} by files and sha256"
        )
    if not consistent or any(algorithm != "sha256" for _, algorithm, _ in rows):
        raise VerificationError(f"{path} contradicts itself: its files do not give its digest; sign the bundle again")
    return digests


def _compare(signed: Mapping[str, str], present: Mapping[str, str]) -> None:
    changed = [name for name in sorted(signed.keys() & present.keys()) if signed[name] != present[name]]
    for what, names in (
        ("changed after it was signed", changed),
        ("signed but missing", sorted(signed.keys() - present.keys())),
        ("not signed", sorted(present.keys() - signed.keys())),
    ):
        if names:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise VerificationError(f"{names[0]}{others}: {what}; fetch or build the bundle again")


def _private_key(path: Path) -> "EllipticCurvePrivateKey":
    require("a signature", "cryptography")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data, password = read_bytes(path), None
    if b"ENCRYPTED" in data:
        password = os.environ.get(PASSWORD_VARIABLE, "").encode("utf-8")
        if not password:
            raise InputError(f"{path} is protected by a password; put it into the variable {PASSWORD_VARIABLE}")
    try:
        key = load_pem_private_key(data, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        reason = f"cannot be opened with {PASSWORD_VARIABLE}" if password else "is no private key in PEM form"
        raise InputError(f"{path} {reason}; {_NEW_KEY}") from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise InputError(f"{path} is no key of an elliptic curve; {_NEW_KEY}")
    _ecdsa(key.public_key(), path)
    return key


def _public_key(path: Path) -> "EllipticCurvePublicKey":
    require("a signature", "cryptography")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(read_bytes(path))
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{path} is no public key in PEM form; {_PUBLIC_KEY}") from None
    if not isinstance(key, EllipticCurvePublicKey):
        raise InputError(f"{path} is no key of an elliptic curve; {_PUBLIC_KEY}")
    _ecdsa(key, path)
    return key


_NEW_KEY = "make one: pocketrank sign BUNDLE --key KEY.pem --new-key"
_PUBLIC_KEY = "write it from the private one: openssl ec -in KEY.pem -pubout -out PUBLIC.pem"


def _ecdsa(key: "EllipticCurvePublicKey", path: Path) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    name = _HASHES.get(key.curve.name)
    if name is None:
        raise InputError(f"{path} is a key of curve {key.curve.name}, not of {', '.join(_HASHES)}; {_NEW_KEY}")
    return ECDSA(getattr(hashes, name)())


def _hint(key: "EllipticCurvePublicKey") -> str:
    """Return how the format names a key: the SHA-256 of its PEM form."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
