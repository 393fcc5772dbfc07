"""Viewers' tokens as a library of other people makes and reads them (python-cwt), for tests/it/foreign.rs.

Reads one JSON object: the key (`kid`, `secret` in hexadecimal), `make`, a list of claims as pairs of key and value, in which bytes are written as
{"hex": ...} and maps as {"map": [[key, value], ...]}, and `read`, a list of tokens. Writes `made`, tokens; `read`, of each token its claims
by their keys, or null where it is refused; and, signed by a key that is made for this, `signed`, tokens of the same claims with ES256, and `public`, that
key as a PEM.
"""

import base64
import json
import sys

import cwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def value(written):
    if isinstance(written, dict) and "hex" in written:
        return bytes.fromhex(written["hex"])
    if isinstance(written, dict):
        return {key: value(inner) for key, inner in written["map"]}
    return [value(inner) for inner in written] if isinstance(written, list) else written


def shown(found):
    if isinstance(found, bytes):
        return found.hex()
    if isinstance(found, dict):
        return {str(key): shown(inner) for key, inner in found.items()}
    return [shown(inner) for inner in found] if isinstance(found, list) else found


def text(token):
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def main():
    asked = json.load(sys.stdin)
    key = cwt.COSEKey.from_symmetric_key(bytes.fromhex(asked["secret"]), alg="HS256", kid=asked["kid"])
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    signer = cwt.COSEKey.from_pem(pem, alg="ES256", kid="partner")
    claims = [{name: value(written) for name, written in one} for one in asked["make"]]
    made = [text(cwt.encode(one, key, tagged=True)) for one in claims]
    signed = [text(cwt.encode(one, signer, tagged=True)) for one in claims]
    read = []
    for token in asked["read"]:
        try:
            read.append(shown(cwt.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)), key)))
        except (ValueError, cwt.VerifyError, cwt.DecodeError):
            read.append(None)
    public = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    print(json.dumps({"made": made, "signed": signed, "public": public.decode(), "read": read}))


main()
