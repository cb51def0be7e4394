"""Elliptic-curve keys for tests of signatures."""

from pathlib import Path

import pytest


def write_keys(folder: Path, curve: str = "SECP256R1", password: bytes = b"") -> tuple[Path, Path]:
    """Write a new private and its public key into `folder`; skip where the package cryptography is missing."""
    pytest.importorskip("cryptography", reason="no package cryptography; install it: pip install 'pocketrank[sign]'")
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(getattr(ec, curve)())
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    private, public = folder / "key.pem", folder / "key.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public
