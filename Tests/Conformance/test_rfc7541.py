"""RFC 7541: header compression. What can't be decoded ends the connection with COMPRESSION_ERROR (RFC 9113, 4.3)."""

from __future__ import annotations

import hpack
import pytest

from http2 import (
    CHECK, COMPRESSION_ERROR, END_HEADERS, END_STREAM, HEADER_TABLE_SIZE, HEADERS, Connection, block, data, frame,
    frames, indexed, indexed_literal, integer, literal, replaced, request, settings, string, table_size,
)
from verdicts import Answers, Rule, answered, ends, rule, serves, try_rule

BLOCK = block(CHECK)
BROKEN = ends(COMPRESSION_ERROR)
PATH = b"/no.Such/Decoded"
"""A path that the answer names: what was decoded is seen."""


def raw(stream: int, encoded: bytes, flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream, encoded)


def whole(stream: int, encoded: bytes) -> bytes:
    return raw(stream, encoded) + data(stream)


def broken(section: str, what: str, encoded: bytes) -> pytest.ParameterSet:
    """A block that begins well and then has this."""
    return rule(section, what, BROKEN, raw(1, BLOCK + encoded))


def fine(section: str, what: str, encoded: bytes) -> pytest.ParameterSet:
    return rule(section, what, serves(1), whole(1, encoded))


def huffman(text: bytes) -> bytes:
    """A string as Huffman code (5.2), by hpack's encoder."""
    coded = hpack.huffman.HuffmanEncoder(hpack.huffman_constants.REQUEST_CODES,
                                         hpack.huffman_constants.REQUEST_CODES_LENGTH).encode(text)
    return integer(len(coded), 7, 0x80) + coded


def with_path(encoded: bytes) -> bytes:
    """CHECK with its path encoded in some other way, which decodes to PATH."""
    return block(CHECK[:2]) + encoded + block(CHECK[3:])


def says_path(what: str = "no.Such") -> Answers:
    return Answers(lambda answer: what in answer.grpc_message)


INTEGERS = [
    rule("5.1", "an integer of one octet more than it needs", says_path(),
         whole(1, with_path(b"\x00" + string(b":path") + b"\x7f\x81\x00" + PATH + b"a" * (128 - len(PATH))))),
    broken("5.1", "an index that does not end", b"\xff" + b"\x80" * 4),
    broken("5.1", "an index of 2^32 and more", b"\xff\xff\xff\xff\xff\xff\x0f"),
    broken("5.1", "an index of 2^64 and more", b"\xff" + b"\xff" * 10 + b"\x0f"),
    broken("5.1", "a string length of 2^32 and more", b"\x00\x7f\xff\xff\xff\xff\xff\x0f"),
    broken("5.1", "a string length of 2^64 and more", b"\x00\x7f" + b"\xff" * 10 + b"\x0f"),
    broken("5.1", "a table size of 2^32 and more", b"\x3f\xff\xff\xff\xff\xff\x0f"),
]

STRINGS = [
    broken("5.2", "a name that is longer than the block", b"\x00\x0a" + b"short"),
    broken("5.2", "a value that is longer than the block", b"\x00\x01x\x0a" + b"short"),
    broken("5.2", "a literal without its value", b"\x00\x01x"),
    broken("5.2", "a literal without anything", b"\x00"),
    broken("5.2", "Huffman with more than 7 bits of padding", b"\x00\x01x\x82\x1f\xff"),
    broken("5.2", "Huffman padded with zeros", b"\x00\x01x\x81\x18"),
    broken("5.2", "Huffman padded with something else", b"\x00\x01x\x81\x1d"),
    broken("5.2", "Huffman with the end-of-string symbol", b"\x00\x01x\x84\xff\xff\xff\xff"),
    broken("5.2", "Huffman with the end-of-string symbol behind a letter", b"\x00\x01x\x85\x1f\xff\xff\xff\xff"),
    broken("5.2", "a name in Huffman padded with zeros", b"\x00\x81\x18\x01x"),
    fine("5.2", "Huffman without bytes", BLOCK + b"\x00\x01x\x80"),
    fine("5.2", "Huffman of every byte that a value may have", BLOCK + b"\x00\x01x"
         + huffman(bytes([*range(0x21, 0x7F), *range(0x80, 0x100)]))),
    rule("5.2", "Huffman in a name and a value", says_path(), whole(1, with_path(b"\x00" + huffman(b":path")
                                                                              + huffman(PATH)))),
]

FIELDS = [
    broken("6.1", "index 0", b"\x80"),
    broken("6.1", "an index beyond an empty dynamic table", indexed(62)),
    broken("6.1", "index 61 and 10 of a table with one entry", indexed_literal(b"x", b"1") + indexed(71)),
    broken("6.2.1", "a name by an index beyond the table", integer(62, 6, 0x40) + string(b"1")),
    broken("6.2.2", "a name by an index beyond the table, not indexed", integer(62, 4) + string(b"1")),
    broken("6.2.3", "a name by an index beyond the table, never indexed", integer(62, 4, 0x10) + string(b"1")),
    rule("6.2.1", "a name by index, with indexing", says_path(), whole(1, with_path(b"\x44" + string(PATH)))),
    rule("6.2.2", "a name by index, without indexing", says_path(), whole(1, with_path(b"\x04" + string(PATH)))),
    rule("6.2.3", "a name by index, never indexed", says_path(), whole(1, with_path(b"\x14" + string(PATH)))),
    rule("6.2.3", "a new name, never indexed", says_path(),
         whole(1, with_path(b"\x10" + string(b":path") + string(PATH)))),
    rule("A", "fields of the static table", Answers(lambda answer: answer.status == "415"),
         raw(1, indexed(3) + indexed(6) + indexed(5) + b"\x01" + string(b"a"), END_HEADERS | END_STREAM)),
    rule("4.4", "an entry larger than the table empties it", BROKEN,
         whole(1, with_path(b"\x44" + string(PATH))), answered(1),
         raw(3, BLOCK + indexed_literal(b"large", b"v" * 4096)), raw(5, with_path(indexed(62)))),
    rule("4.4", "an entry larger than the table is no error", serves(1, 3),
         whole(1, BLOCK + indexed_literal(b"large", b"v" * 4096)), whole(3, BLOCK)),
]

SIZES = [
    rule("4.2", "a size update at the start of a block", serves(1), whole(1, table_size(0) + BLOCK)),
    rule("4.2", "two size updates at the start", serves(1), whole(1, table_size(0) + table_size(4096) + BLOCK)),
    rule("4.2", "a size update behind the first field", BROKEN, raw(1, BLOCK + table_size(100))),
    rule("4.2", "a size update between fields", BROKEN, raw(1, BLOCK[:15] + table_size(100) + BLOCK[15:])),
    rule("4.2", "a size update in trailers", serves(1),
         raw(1, BLOCK), data(1, flags=0), raw(1, table_size(10) + literal(b"x", b"y"), END_HEADERS | END_STREAM)),
    rule("6.3", "the size that SETTINGS allow", serves(1), whole(1, table_size(4096) + BLOCK)),
    rule("6.3", "a size above what SETTINGS allow", BROKEN, raw(1, table_size(4097) + BLOCK)),
    rule("6.3", "a size far above", BROKEN, raw(1, table_size(2**31) + BLOCK)),
    rule("4.3", "size 0 drops all entries", BROKEN,
         whole(1, with_path(b"\x44" + string(PATH))), answered(1), raw(3, table_size(0) + with_path(indexed(62)))),
    rule("4.3", "a smaller size drops the oldest", BROKEN,
         whole(1, with_path(b"\x44" + string(PATH)) + indexed_literal(b"y", b"2")), answered(1),
         raw(3, table_size(40) + with_path(indexed(63)))),
    rule("4.3", "a smaller size keeps the newest", serves(3),
         whole(1, with_path(b"\x44" + string(PATH)) + indexed_literal(b"y", b"2")), answered(1),
         whole(3, table_size(40) + BLOCK + indexed(62))),
]


@pytest.mark.parametrize("wanted", INTEGERS + STRINGS + FIELDS + SIZES)
def test_rule(connection: Connection, wanted: Rule) -> None:
    try_rule(connection, wanted)


def test_2_3_2_entries_live_from_block_to_block_in_order(connection: Connection) -> None:
    """Three paths enter the table; each is then found where the order of their coming says."""
    for stream, name in ((1, b"First"), (3, b"Second"), (5, b"Third")):
        connection.send(whole(stream, with_path(b"\x44" + string(b"/no.%b/X" % name))))
        assert f"no.{name.decode()}" in connection.answer(stream).grpc_message
    for stream, (index, name) in zip((7, 9, 11), ((62, "Third"), (63, "Second"), (64, "First"))):
        connection.send(whole(stream, with_path(indexed(index))))
        assert f"no.{name}" in connection.answer(stream).grpc_message
    connection.assert_serves()


@pytest.mark.parametrize("beyond", [0, 1])
def test_2_3_2_the_oldest_entries_make_room(connection: Connection, beyond: int) -> None:
    """An entry costs 32 bytes more than its text (4.1). The path costs 53, 39 others 100 each, the last one 143: that
    makes 4,096, and with one byte more the path must go.
    """
    entries = b"".join(indexed_literal(b"x", b"%067d" % number) for number in range(39))
    connection.send(whole(1, with_path(b"\x44" + string(PATH)) + entries))
    assert "no.Such" in connection.answer(1).grpc_message
    connection.send(whole(3, with_path(indexed(62 + 39))))
    assert "no.Such" in connection.answer(3).grpc_message
    connection.send(whole(5, BLOCK + indexed_literal(b"y", b"v" * (143 - 33 + beyond))))
    assert connection.answer(5).grpc_status == "0"
    connection.send(whole(7, with_path(indexed(62 + 40))))
    (ends(COMPRESSION_ERROR) if beyond else serves()).judge(connection)


@pytest.mark.parametrize("coded", [False, True], ids=["plain", "Huffman"])
def test_c_3_the_requests_of_the_appendix(connection: Connection, coded: bool) -> None:
    """Appendix C.3 and C.4: three requests that build on one table. They are answered, by whatever status."""
    texts = {False: ("828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865",
                     "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"),
             True: ("828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf",
                    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")}
    for stream, text in zip((1, 3, 5), texts[coded]):
        connection.send(raw(stream, bytes.fromhex(text), END_HEADERS | END_STREAM))
        assert connection.answer(stream).status.startswith("4")
    connection.assert_serves()


def test_a_peers_encoder_is_understood(connection: Connection) -> None:
    """A hundred requests by hpack's encoder, which indexes and uses Huffman; each path is read as it was written."""
    encoder = hpack.Encoder()
    for number in range(100):
        stream, path = 2 * number + 1, f"/no.Such{number % 17}/M"
        fields = replaced(b":path", path.encode()) + [(b"x-number", str(number % 7).encode())]
        connection.send(whole(stream, encoder.encode(fields)))
        assert f"no.Such{number % 17}" in connection.answer(stream).grpc_message
    connection.assert_serves(0x20001)


def test_4_2_the_server_obeys_our_table_size(connection: Connection) -> None:
    """With HEADER_TABLE_SIZE 0 its blocks use no dynamic table, and the first says so."""
    connection.send(request(1))
    connection.answer(1)
    connection.send(settings((HEADER_TABLE_SIZE, 0)))
    acks = connection.count(frames.SettingsFrame) + 1
    connection.until(lambda: connection.count(frames.SettingsFrame) >= acks, "ACK of our SETTINGS")
    connection.decoder.max_allowed_table_size = 0
    for stream in (3, 5):
        connection.send(request(stream))
        assert connection.answer(stream).grpc_status == "0"
    assert connection.decoder.header_table_size == 0
    connection.assert_serves()
