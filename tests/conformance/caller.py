"""One caller of a node, whoever runs this: standard library only, so that any Python in any container can run it.

``caller.py table PORT KEY CHALLENGE-TOKEN [HEADER: VALUE]…`` asks for the jobs with each kind of credential,
and tries to register a Python environment;
``caller.py register PORT DESCRIPTION`` registers a Python environment;
``caller.py intrude PORT ATTEMPTS`` sends submissions in ways meant to hide who sent them.
Prints one JSON object.
"""

import base64
import hashlib
import json
import socket
import sys

JOBS = "/api/v1/orchestrator/jobs"
ENVIRONMENTS = "/api/v1/agent/environments"
PACKAGES = "/api/v1/agent/packages"
# A key made for these tests, as an official client makes one for itself (PKCS #1 DER; modulus and exponent as text).
PUBLIC_KEY = (
    "MIIBCgKCAQEAyA9+Z2lh/Iy9VOp72/CIkLMQLuZ6VSIZEgwnIaYFnWWP86RBN72RuCGtEtOBI1DC7t/DOo92T6OmwYsgj6lu"
    "k7e8UwLka7/F3OyrozVTGoecZFo1WmYv2yDnWzOt/qT/PXSBv9SO8uJKpePyr+uQXz/UXn0owzqkzuYMahdF8jNLANHHtrWL"
    "bidBS1Nqxt9uQ191LChJWX9KnLxUm6xO0Q2CoLgyP1E5z/zykt0vKrDfrAJpeMmR+CdDxMYn8LbXmjDGrvz0dnKdN1Womdt/"
    "NYeCXzXzwNpCxWIZGOscMBvkmfxZFO2eqR0mjwIDDSg5uU+o360YGTTu/Iprtf8u2wIDAQAB"
)
MODULUS = (
    "00c80f7e676961fc8cbd54ea7bdbf08890b3102ee67a552219120c2721a6059d658ff3a44137bd91b821ad12d3812350"
    "c2eedfc33a8f764fa3a6c18b208fa96e93b7bc5302e46bbfc5dcecaba335531a879c645a355a662fdb20e75b33adfea4"
    "ff3d7481bfd48ef2e24aa5e3f2afeb905f3fd45e7d28c33aa4cee60c6a1745f2334b00d1c7b6b58b6e27414b536ac6df"
    "6e435f752c2849597f4a9cbc549bac4ed10d82a0b8323f5139cffcf292dd2f2ab0dfac026978c991f82743c4c627f0b6"
    "d79a30c6aefcf476729d3755a899db7f3587825f35f3c0da42c5621918eb1c301be499fc5914ed9ea91d268f02030d28"
    "39b94fa8dfad181934eefc8a6bb5ff2edb"
)
PRIVATE_EXPONENT = (
    "03b0e827c9be2743d134d4777a8abc23e308cb33a873dfa582a1ee5e17f5db7e27bcc1178446c16d09206c215d1bfa4a"
    "bd584e0f0fcc89126a37451fc9227cec1ec64bb6d9146ca36b6fd8886dba90fc014365408a9c5cf833d035309f1a2fb2"
    "0ea601913914cb6ca7ec962395ea62183eb7d556b89c464a82a91bc40f74213f5374f811e0cbbda0709c0ceaffdf3eed"
    "6ea60b07bcbcae339e23d655e184e110e0e08737f4b6bf30c80fefea98ffcf8fc105b98c0f3b19be281136a8b0e0020b"
    "edc80235ecf22306f89c225c9ac5ccc592dad8aee9b550ad8bd5c9de79ba8c30ea8b8cc3f3f43b0601e99e42096af535"
    "23bfd523a982c2c9c3f07d8053e2eab9"
)
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
RESET = b"\1\0\0\0\0\0\0\0"


def message(port, method, path, headers, body):
    lines = [f"{method} {path} HTTP/1.1"]
    if not any(header.lower().startswith("host:") for header in headers):
        lines.append(f"Host: 127.0.0.1:{port}")
    lines += list(headers)
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def read(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return data
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(rest) < length:
        part = connection.recv(65536)
        if not part:
            break
        rest += part
    return head + b"\r\n\r\n" + rest


def call(port, method, path, headers=(), body="", host="127.0.0.1"):
    connection = socket.create_connection((host, port), 60)
    try:
        connection.sendall(message(port, method, path, headers, body))
        data = read(connection)
    finally:
        connection.close()
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, rest.decode()


def challenge_answer(phrase):
    """Return the body of an official client's answer: RSA PKCS #1 v1.5 over the SHA-256 of the phrase."""
    modulus = int(MODULUS, 16)
    digest = DIGEST_INFO + hashlib.sha256(phrase).digest()
    padded = b"\0\1" + b"\xff" * (256 - len(digest) - 3) + b"\0" + digest
    signature = pow(int.from_bytes(padded, "big"), int(PRIVATE_EXPONENT, 16), modulus).to_bytes(256, "big")
    answer = {"PhraseSignature": base64.b64encode(signature).decode(), "PublicKey": PUBLIC_KEY}
    data = base64.b64encode(json.dumps(answer).encode()).decode()
    return json.dumps({"Name": "clientkey", "MethodData": data})


def table(port, key, token, extra):
    def jobs(*headers):
        return call(port, "GET", JOBS, [*extra, *headers])[0]

    def register(*headers):
        return call(port, "POST", ENVIRONMENTS, [*extra, *headers], json.dumps({"Prefixes": ["/usr"]}))[0]

    def packages(*headers):
        return call(port, "POST", PACKAGES, [*extra, *headers], json.dumps({"Request": "ab"}))[0]

    methods = json.loads(call(port, "GET", "/api/v1/auth", extra)[1])["Methods"]
    phrase = base64.b64decode(methods["clientkey"]["params"]["InputPhrase"])
    status, text = call(port, "POST", "/api/v1/auth/clientkey", extra, challenge_answer(phrase))
    return {
        "no token": jobs(),
        "stale token": jobs("Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.e30.stale"),
        "challenge token": jobs("Authorization: Bearer " + token),
        "key": jobs("Authorization: Bearer " + key),
        "challenge": status,
        "environment": register(),
        "environment, key": register("Authorization: Bearer " + key),
        "packages": packages(),
        "packages, key": packages("Authorization: Bearer " + key),
        "token": json.loads(text)["Authentication"].get("token", ""),
    }


def register(port, description):
    status, text = call(port, "POST", ENVIRONMENTS, (), description)
    if status != 200:
        raise SystemExit(text)
    return json.loads(text)["Environment"]


def intrude(port, attempts):
    """Each way in turn; jobs that get through are found by their name, answers that are not 401 are counted."""
    accepted = []
    for attempt in range(attempts):
        way = ("close", "reset", "half", "mapped", "mapped close", "split")[attempt % 6]
        host = "::ffff:127.0.0.1" if way.startswith("mapped") else "127.0.0.1"
        task = {"Name": "main", "Engine": {"Type": "noop"}}
        job = {"Name": f"intruder-{way.replace(' ', '-')}-{attempt}", "Type": "batch", "Count": 1}
        data = message(port, "PUT", JOBS, [], json.dumps({"Job": dict(job, Tasks=[task])}))
        connection = socket.create_connection((host, port), 60)
        try:
            if way == "split":
                connection.sendall(data[:20])
                data = data[20:]
            connection.sendall(data)
            if way == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if way == "half":
                connection.shutdown(socket.SHUT_WR)
            if way in ("half", "mapped", "split"):
                answer = read(connection)
                if answer and b" 401 " not in answer.split(b"\r\n")[0]:
                    accepted.append((way, answer[:200].decode()))
        except OSError:
            pass
        finally:
            connection.close()
    return {"accepted": accepted}


if __name__ == "__main__":
    port = int(sys.argv[2])
    if sys.argv[1] == "table":
        result = table(port, sys.argv[3], sys.argv[4], sys.argv[5:])
    elif sys.argv[1] == "register":
        result = {"environment": register(port, sys.argv[3])}
    else:
        result = intrude(port, int(sys.argv[3]))
    sys.stdout.write(json.dumps(result) + "\n")
