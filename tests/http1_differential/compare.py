"""Reads each accepted request again with h11, a second parser, and compares: both must find the
same method, target, fields and body, and the next request must begin at the same byte."""

import json
import re
import sys

import h11


def read(data):
    """Parses bytes with h11. Returns the request, its body, and how many bytes h11 has consumed."""
    # RFC 9112 section 2.2 lets one empty line before a request be ignored; h11 does not.
    skipped = 2 if data.startswith(b"\r\n") else 0
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data[skipped:])
    request, body = None, b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return request, body, len(data) - len(connection.trailing_data[0])
        else:
            raise ValueError(f"{event} instead of a request")


def origin_form(target):
    """The target without scheme and authority; an empty path becomes the root."""
    if target.startswith("/"):
        return target
    path = re.sub("^[a-z]+://[^/?]*", "", target, flags=re.IGNORECASE)
    return path if path.startswith("/") else f"/{path}"


def differences(line):
    data = bytes.fromhex(line["bytes"])
    try:
        request, body, length = read(data)
    except (h11.RemoteProtocolError, ValueError) as error:
        yield f"is refused by h11: {error}"
        return
    if line["method"] is not None and request.method.decode() != line["method"]:
        yield f"method {request.method}"
    if origin_form(request.target.decode()) != line["target"]:
        yield f"target {request.target}"
    for name, values in line["fields"].items():
        found = [value.hex() for key, value in request.headers if key == name.encode()]
        if name == "transfer-encoding":
            found = [bytes.fromhex(value).lower().hex() for value in found]
            values = [bytes.fromhex(value).lower().hex() for value in values]
        if name == "content-length":
            found, values = ([int(bytes.fromhex(v)) for v in vs] for vs in (found, values))
        if found != values:
            yield f"{name} {found} instead of {values}"
    if body.hex() != line["body"]:
        yield f"body {body}"
    if length != line["length"]:
        yield f"ends at {length} instead of {line['length']}"


def main():
    count = failed = 0
    with open(sys.argv[1], encoding="utf-8") as lines:
        for text in lines:
            line = json.loads(text)
            count += 1
            for difference in differences(line):
                failed += 1
                if failed <= 20:
                    print(f"{bytes.fromhex(line['bytes'])!r}: {difference}", file=sys.stderr)
    print(f"{count} accepted requests, {failed} read differently by h11")
    sys.exit(1 if failed or not count else 0)


main()
