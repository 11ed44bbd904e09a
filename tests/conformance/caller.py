"""One caller of a node, whoever runs this: standard library only, so that any Python in any container can run it.

``caller.py table PORT KEY CHALLENGE-TOKEN [HEADER: VALUE]…`` asks for the jobs with each kind of credential;
``caller.py intrude PORT ATTEMPTS`` sends submissions in ways meant to hide who sent them.
Prints one JSON object.
"""

import base64
import json
import socket
import sys

JOBS = "/api/v1/orchestrator/jobs"
ANSWER = base64.b64encode(json.dumps({"PhraseSignature": "eA==", "PublicKey": "eA=="}).encode()).decode()
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
    connection = socket.create_connection((host, port), 10)
    try:
        connection.sendall(message(port, method, path, headers, body))
        data = read(connection)
    finally:
        connection.close()
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, rest.decode()


def table(port, key, token, extra):
    def jobs(*headers):
        return call(port, "GET", JOBS, [*extra, *headers])[0]

    body = json.dumps({"Name": "clientkey", "MethodData": ANSWER})
    status, text = call(port, "POST", "/api/v1/auth/clientkey", extra, body)
    return {
        "no token": jobs(),
        "stale token": jobs("Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.e30.stale"),
        "challenge token": jobs("Authorization: Bearer " + token),
        "key": jobs("Authorization: Bearer " + key),
        "challenge": status,
        "token": json.loads(text)["Authentication"].get("token", ""),
    }


def intrude(port, attempts):
    """Each way in turn; jobs that get through are found by their name, answers that are not 401 are counted."""
    accepted = []
    for attempt in range(attempts):
        way = ("close", "reset", "half", "mapped", "mapped close", "split")[attempt % 6]
        host = "::ffff:127.0.0.1" if way.startswith("mapped") else "127.0.0.1"
        task = {"Name": "main", "Engine": {"Type": "noop"}}
        job = {"Name": f"intruder-{way.replace(' ', '-')}-{attempt}", "Type": "batch", "Count": 1}
        data = message(port, "PUT", JOBS, [], json.dumps({"Job": dict(job, Tasks=[task])}))
        connection = socket.create_connection((host, port), 10)
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
    else:
        result = intrude(port, int(sys.argv[3]))
    sys.stdout.write(json.dumps(result) + "\n")
