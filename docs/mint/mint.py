"""Makes a viewer's token: python3 mint.py VIEWER_KEY NAMESPACE PATH SECONDS (VIEWER_KEY is the first line of viewer.key)."""
import base64, hashlib, hmac, os, sys, time

def head(major, number):
    for inside, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 24:
            return bytes([major << 5 | number])
        if number < 1 << 8 * size:
            return bytes([major << 5 | inside]) + number.to_bytes(size, "big")

def cbor(value):
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(key) + cbor(item) for key, item in value.items())

def mint(viewer_key, namespace, path, seconds):
    secret = base64.urlsafe_b64decode(viewer_key + "=")
    kid = hashlib.sha256(secret).hexdigest()[:8].encode()
    claims = {3: namespace, 4: int(time.time()) + seconds, 6: int(time.time()), 7: os.urandom(8), 310: 1, 312: {3: {1: path}}}
    protected, payload = cbor({1: 5}), cbor(claims)
    mac = hmac.new(secret, cbor(["MAC0", protected, b"", payload]), hashlib.sha256).digest()
    token = b"\xd8\x3d\xd1" + cbor([protected, {4: kid}, payload, mac])
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()

if __name__ == "__main__":
    print(mint(*sys.argv[1:4], int(sys.argv[4])))
