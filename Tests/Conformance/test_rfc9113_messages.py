"""RFC 9113, 8: what a request may be. All that is malformed is a stream error PROTOCOL_ERROR (8.1.1), nothing else."""

from __future__ import annotations

import pytest

from http2 import (
    CHECK, DATA, EMPTY_MESSAGE, ENABLE_PUSH, END_HEADERS, END_STREAM, HEADERS, PADDED, PROTOCOL_ERROR, STREAM_CLOSED,
    Connection, Field, also, before, block, data, frame, headers, indexed, indexed_literal, literal, replaced, request,
    settings, trailers, without,
)
from verdicts import Answers, Rule, ends, resets, rule, serves, try_rule

MALFORMED = resets(PROTOCOL_ERROR)
OPEN = headers(1)


def malformed(section: str, what: str, fields: list[Field]) -> pytest.ParameterSet:
    """A request with these fields is refused, with the whole of it sent."""
    return rule(section, what, MALFORMED, request(1, fields))


def fine(section: str, what: str, fields: list[Field]) -> pytest.ParameterSet:
    return rule(section, what, serves(1), request(1, fields))


def shown(byte: int) -> str:
    return f"0x{byte:02x}"


TCHAR = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
"""What a name is made of (RFC 9110, 5.6.2), without upper case (RFC 9113, 8.2)."""
FORBIDDEN_IN_VALUES = (0x00, 0x0A, 0x0D)
"""Anywhere in a value (RFC 9113, 8.2.1)."""
NO_FIELD_CONTENT = sorted({*range(0x01, 0x20), 0x7F} - {0x09, 0x0A, 0x0D})
"""Control characters, which RFC 9110, 5.5 does not let into a value either."""

SEQUENCES = [
    rule("8.1", "trailers behind the body", serves(1), OPEN, data(1, flags=0), trailers(1)),
    rule("8.1", "trailers without fields", serves(1), OPEN, data(1, flags=0), trailers(1, [])),
    rule("8.1", "trailers without END_STREAM", MALFORMED, OPEN, data(1, flags=0), trailers(1, flags=0)),
    rule("8.1", "trailers without END_STREAM and without a body", MALFORMED, OPEN, trailers(1, flags=0)),
    rule("8.1", "a second head", MALFORMED, OPEN, headers(1)),
    rule("8.1", "a second head that ends", MALFORMED, OPEN, trailers(1, CHECK)),
    rule("8.1", "DATA behind trailers", ends(STREAM_CLOSED), OPEN, trailers(1), data(1)),
    rule("8.1", "a body of many pieces", serves(1), OPEN, *[data(1, bytes(1), 0)] * 5, data(1, b"")),
    rule("8.1", "a request that ends with its head is no error of HTTP", Answers(lambda it: it.grpc_status == "12"),
         headers(1, CHECK, END_HEADERS | END_STREAM)),
    rule("8.1.1", "a malformed request is refused before its body comes", MALFORMED,
         headers(1, also((b"te", b"gzip")))),
    rule("8.1.1", "a malformed request that ends with its head", MALFORMED,
         headers(1, also((b"te", b"gzip")), END_HEADERS | END_STREAM)),
    rule("8.1.1", "one malformed request among good ones", serves(1, 5),
         OPEN, headers(3, also((b"Upper", b"1"))), headers(5), data(3), data(1), data(5)),
    rule("8.1.1", "many malformed requests", resets(PROTOCOL_ERROR, stream=199),
         *[request(stream, also((b"connection", b"x"))) for stream in range(1, 201, 2)]),
]

LENGTHS = [
    fine("8.1.1", "content-length that is true", also((b"content-length", b"5"))),
    rule("8.1.1", "content-length over several DATA", serves(1), headers(1, also((b"content-length", b"5"))),
         data(1, bytes(2), 0), data(1, b"", 0), data(1, bytes(3), 0), data(1, b"")),
    rule("8.1.1", "content-length with padding, which does not count", serves(1),
         headers(1, also((b"content-length", b"5"))),
         frame(DATA, PADDED | END_STREAM, 1, b"\x03" + EMPTY_MESSAGE + bytes(3))),
    rule("8.1.1", "content-length with trailers", serves(1), headers(1, also((b"content-length", b"5"))),
         data(1, flags=0), trailers(1)),
    rule("8.1.1", "content-length 0 without a body", Answers(lambda it: it.grpc_status == "12"),
         headers(1, also((b"content-length", b"0")), END_HEADERS | END_STREAM)),
    rule("8.1.1", "content-length with zeros in front", serves(1), request(1, also((b"content-length", b"0005")))),
    malformed("8.1.1", "content-length above the body", also((b"content-length", b"6"))),
    malformed("8.1.1", "content-length below the body", also((b"content-length", b"4"))),
    malformed("8.1.1", "content-length 0 with a body", also((b"content-length", b"0"))),
    rule("8.1.1", "content-length exceeded before the end", MALFORMED, headers(1, also((b"content-length", b"4"))),
         data(1, bytes(2), 0), data(1, bytes(3), 0)),
    rule("8.1.1", "content-length missed over several DATA", MALFORMED, headers(1, also((b"content-length", b"6"))),
         data(1, bytes(2), 0), data(1, bytes(3))),
    rule("8.1.1", "content-length missed at an empty DATA", MALFORMED, headers(1, also((b"content-length", b"6"))),
         data(1, bytes(5), 0), data(1, b"")),
    rule("8.1.1", "content-length missed at the trailers", MALFORMED, headers(1, also((b"content-length", b"6"))),
         data(1, bytes(5), 0), trailers(1)),
    rule("8.1.1", "content-length and no body", MALFORMED,
         headers(1, also((b"content-length", b"5")), END_HEADERS | END_STREAM)),
    *[malformed("8.1.1", f"content-length {text!r}", also((b"content-length", text)))
      for text in (b"", b"five", b"+5", b"-5", b"5.", b"0x5", b"5,5", b"5, 5", b"5 5", b"5a", b"\xb5",
                   b"99999999999999999999", b"18446744073709551621", b"9223372036854775808")],
    malformed("8.1.1", "two content-lengths that differ", also((b"content-length", b"5"), (b"content-length", b"6"))),
    malformed("8.1.1", "two content-lengths", also((b"content-length", b"5"), (b"content-length", b"5"))),
]

NAMES = [
    malformed("8.2", "a name in upper case", also((b"X-Upper", b"1"))),
    malformed("8.2", "one letter in upper case", also((b"grpc-timeouT", b"1S"))),
    malformed("8.2", "a known name in upper case", also((b"TE", b"trailers"))),
    malformed("8.2.1", "an empty name", also((b"", b"1"))),
    malformed("8.2.1", "a name of a colon", also((b":", b"1"))),
    *[malformed("8.2.1", f"a name with {shown(byte)}", also((b"x" + bytes([byte]) + b"y", b"1")))
      for byte in range(256) if byte not in TCHAR],
    *[malformed("8.2.1", f"a name that {where} with {shown(byte)}", also((name, b"1")))
      for byte in (0x00, 0x20, 0x0D, 0x0A, 0x3A, 0x7F, 0xFF)
      for where, name in (("begins", bytes([byte]) + b"x"), ("ends", b"x" + bytes([byte])))],
    fine("8.2.1", "a name of all that a name may have", also((bytes(sorted(TCHAR)), b"1"))),
]

VALUES = [
    *[malformed("8.2.1", f"a value with {shown(byte)} {where}", also((b"x", value)))
      for byte in FORBIDDEN_IN_VALUES
      for where, value in (("within", b"a" + bytes([byte]) + b"b"), ("in front", bytes([byte]) + b"a"),
                           ("behind", b"a" + bytes([byte])), ("alone", bytes([byte])))],
    *[malformed("8.2.1", f"a value with {what} {where}", also((b"x", value)))
      for what, space in (("a space", b" "), ("a tab", b"\t"))
      for where, value in (("in front", space + b"a"), ("behind", b"a" + space), ("alone", space))],
    *[malformed("RFC 9110 5.5", f"a value with {shown(byte)}", also((b"x", b"a" + bytes([byte]) + b"b")))
      for byte in NO_FIELD_CONTENT],
    *[malformed("8.2.1", f"0x00 in {name.decode()}", replaced(name, value[:-1] + b"\0" + value[-1:]))
      for name, value in CHECK],
    fine("8.2.1", "a value of spaces and tabs within", also((b"x", b"a \t b"))),
    fine("8.2.1", "an empty value", also((b"x", b""))),
    fine("8.2.1", "a value of all visible characters", also((b"x", bytes(range(0x21, 0x7F))))),
    fine("8.2.1", "a value of all bytes above", also((b"x", bytes(range(0x80, 0x100))))),
]

CONNECTION_SPECIFIC = [
    *[malformed("8.2.2", f"{name.decode()}: {value.decode()}", also((name, value)))
      for name, value in [(b"connection", b"close"), (b"connection", b"keep-alive"), (b"connection", b""),
                          (b"proxy-connection", b"keep-alive"), (b"keep-alive", b"timeout=5"),
                          (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity"),
                          (b"upgrade", b"h2c"), (b"upgrade", b"websocket")]],
    *[malformed("8.2.2", f"te: {value.decode()}", replaced(b"te", value))
      for value in (b"gzip", b"trailers, gzip", b"trailers,", b"deflate;q=0.5", b"", b"trailer")],
    malformed("8.2.2", "a second te", also((b"te", b"gzip"))),
    fine("8.2.2", "te: trailers twice", also((b"te", b"trailers"))),
    fine("8.2.3", "a cookie in crumbs", also((b"cookie", b"a=1"), (b"cookie", b"b=2"))),
]

PSEUDO = [
    *[malformed("8.3", f"{name.decode()} behind a regular field", without(name) + [(name, value)])
      for name, value in CHECK if name.startswith(b":")],
    malformed("8.3", "a regular field in front", before((b"x", b"1"))),
    malformed("8.3", "an unknown pseudo-header field", before((b":unknown", b"1"))),
    malformed("8.3", "a pseudo-header field of responses", before((b":status", b"200"))),
    malformed("8.3", ":protocol without extended CONNECT", before((b":protocol", b"websocket"))),
    malformed("8.3", "a pseudo-header field in upper case", [(b":Method", b"POST"), *without(b":method")]),
    *[malformed("8.3", f"{name.decode()} twice", before((name, value)))
      for name, value in CHECK if name.startswith(b":")],
    malformed("8.3", ":path twice, with different values", before((b":path", b"/"))),
    *[rule("8.3", f"{name.decode()} in trailers", MALFORMED, OPEN, data(1, flags=0), trailers(1, [(name, value)]))
      for name, value in [*CHECK[:4], (b":status", b"200"), (b":unknown", b"1")]],
    malformed("8.3.1", "no :method", without(b":method")),
    malformed("8.3.1", "no :scheme", without(b":scheme")),
    malformed("8.3.1", "no :path", without(b":path")),
    malformed("8.3.1", "no pseudo-header field", CHECK[4:]),
    malformed("8.3.1", "no field at all", []),
    malformed("8.3.1", "neither :authority nor host", without(b":authority")),
    malformed("8.3.1", "an empty :path", replaced(b":path", b"")),
    malformed("8.3.1", "an empty :method", replaced(b":method", b"")),
    malformed("8.3.1", "an empty :scheme", replaced(b":scheme", b"")),
    *[malformed("8.3.1", f":path {path!r}", replaced(b":path", path))
      for path in (b"grpc.health.v1.Health/Check", b"*", b"http://conformance/", b" /", b"/a b", b"/a\x7f")],
    *[malformed("8.3.1", f":method {method!r}", replaced(b":method", method))
      for method in (b"PO ST", b"POST ", b"P\x00ST", b"P\xd6ST", b"PO(ST")],
    *[malformed("8.3.1", f":scheme {scheme!r}", replaced(b":scheme", scheme))
      for scheme in (b"ht tp", b"http:", b"1http", b"h\x00ttp")],
    *[malformed("8.3.1", f":authority {authority!r}", replaced(b":authority", authority))
      for authority in (b"a b", b"a\x00b", b"a\nb", b"a/b", b"user@host", b"user:word@host")],
    malformed("8.3.1", "host that differs from :authority", also((b"host", b"elsewhere"))),
    malformed("8.3.1", "two hosts", without(b":authority") + [(b"host", b"a"), (b"host", b"a")]),
    fine("8.3.1", "host that is as :authority", also((b"host", b"conformance"))),
    fine("8.3.1", "host in place of :authority", without(b":authority") + [(b"host", b"conformance")]),
    fine("8.3.1", ":authority with a port", replaced(b":authority", b"[::1]:8095")),
    fine("8.3.1", "the order of pseudo-header fields is free", [*CHECK[3::-1], *CHECK[4:]]),
    fine("8.3.1", ":scheme https", replaced(b":scheme", b"https")),
    rule("8.3.1", "a method that is not ours is answered", Answers(lambda it: it.status == "405"),
         request(1, replaced(b":method", b"PATCH"))),
    malformed("8.5", "CONNECT with :path", replaced(b":method", b"CONNECT")),
    malformed("8.5", "CONNECT without :authority", [(b":method", b"CONNECT"), *CHECK[4:]]),
    rule("8.5", "CONNECT as it should be is refused by status", Answers(lambda it: it.status[0] == "4"),
         request(1, [(b":method", b"CONNECT"), *CHECK[3:]])),
]

IN_TRAILERS = [
    rule(section, f"trailers with {what}", MALFORMED, OPEN, data(1, flags=0), trailers(1, [(name, value)]))
    for section, what, name, value in [
        ("8.2", "a name in upper case", b"X-Trailer", b"1"),
        ("8.2.1", "0x00 in a value", b"x", b"a\0b"),
        ("8.2.1", "a line feed in a value", b"x", b"a\nb"),
        ("8.2.1", "a space behind a value", b"x", b"a "),
        ("8.2.1", "a space in a name", b"x y", b"1"),
        ("8.2.1", "an empty name", b"", b"1"),
        ("8.2.2", "connection", b"connection", b"close"),
        ("8.2.2", "te: gzip", b"te", b"gzip"),
        ("8.2.2", "transfer-encoding", b"transfer-encoding", b"chunked"),
    ]
]


@pytest.mark.parametrize(
    "wanted", SEQUENCES + LENGTHS + NAMES + VALUES + CONNECTION_SPECIFIC + PSEUDO + IN_TRAILERS)
def test_rule(connection: Connection, wanted: Rule) -> None:
    try_rule(connection, wanted)


def test_8_1_1_a_malformed_block_still_feeds_the_table(connection: Connection) -> None:
    """4.3: the state of HPACK is the connection's. A refused request's entries are there for the next one."""
    path = b"/no.Such/FromTheTable"
    refused = literal(b":method", b"POST") + literal(b"Upper", b"1") + indexed_literal(b":path", path)
    connection.send(frame(HEADERS, END_HEADERS, 1, refused), data(1))
    assert connection.answer(1).reset == PROTOCOL_ERROR
    connection.send(frame(HEADERS, END_HEADERS, 3, block(CHECK[:2]) + indexed(62) + block(CHECK[3:])), data(3))
    assert "no.Such" in connection.answer(3).grpc_message
    connection.assert_serves()


def test_8_4_a_client_that_takes_pushes_gets_none(connection: Connection) -> None:
    """`Connection` fails on any PUSH_PROMISE and on any stream that the server opens."""
    connection.send(settings((ENABLE_PUSH, 1)), request(1))
    assert connection.answer(1).grpc_status == "0"
    connection.assert_serves()
