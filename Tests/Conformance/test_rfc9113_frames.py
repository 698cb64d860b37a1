"""RFC 9113, 3 to 6: the start, frames, their sizes, streams and their states, flow control."""

from __future__ import annotations

import pytest

from http2 import (
    ACK, CANCEL, CHECK, COMPRESSION_ERROR, CONTINUATION, DATA, EMPTY_MESSAGE, ENABLE_PUSH, END_HEADERS, END_STREAM,
    FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE, LARGEST,
    MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, NO_ERROR, PADDED, PING, PREFACE, PRIORITY,
    PRIORITY_FLAG, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS, STREAM_CLOSED, WATCH,
    WINDOW_UPDATE, Connection, also, block, data, frame, frames, headers, literal, ping, request, settings, string,
    trailers, u32, window_update,
)
from verdicts import Rule, answered, begun, ends, resets, resets_or_ends, rule, serves, try_rule

BLOCK = block(CHECK)
OPEN = headers(1)
"""Leaves stream 1 open: its body is still to come."""
HALF_CLOSED = request(1, WATCH)
"""Leaves stream 1 half-closed (remote): we have ended, the server has not."""
CLOSED = (request(1), answered(1))
RESET = (OPEN, frame(RST_STREAM, 0, 1, u32(CANCEL)))
LARGE_MESSAGE = b"\0" + u32(16_379) + b"\x7a\xf8\x7f" + bytes(16_376)
"""16,384 bytes: a gRPC message with one field that nobody knows, number 15."""
UNKNOWN_TYPE, UNKNOWN_SETTING = 0xFA, 0xFAFA
NO_RFC7540_PRIORITIES = 9
ANY_PRIORITY = u32(3) + b"\x10"
"""Depends on stream 3 with weight 17."""

FRAMES = [
    rule("4.1", "an unknown type on stream 0 is ignored", serves(), frame(UNKNOWN_TYPE, 0xFF, 0, b"anything")),
    rule("4.1", "an unknown type on an idle stream is ignored", serves(), frame(UNKNOWN_TYPE, 0, 7, b"anything")),
    rule("4.1", "an unknown type on an open stream is ignored", serves(1),
         OPEN, frame(UNKNOWN_TYPE, END_STREAM, 1, b"anything"), data(1)),
    rule("4.1", "an unknown type on a closed stream is ignored", serves(), *CLOSED, frame(UNKNOWN_TYPE, 0, 1, b"")),
    rule("4.1", "flags without a meaning are ignored", serves(1),
         ping(flags=0xFE), frame(HEADERS, END_HEADERS | 0xD2 & ~PADDED & ~PRIORITY_FLAG, 1, BLOCK),
         frame(DATA, 0xF6, 1), data(1)),
    rule("4.1", "the reserved bit of a stream id is ignored", serves(1),
         frame(HEADERS, END_HEADERS, 1 | 1 << 31, BLOCK), frame(DATA, END_STREAM, 1 | 1 << 31, EMPTY_MESSAGE)),
    rule("4.2", "a frame of 16,384 bytes is read", serves(1),
         frame(UNKNOWN_TYPE, 0, 0, bytes(16_384)), OPEN, data(1, LARGE_MESSAGE)),
    rule("4.2", "DATA of 16,385 bytes", ends(FRAME_SIZE_ERROR), OPEN, frame(DATA, 0, 1, bytes(16_385))),
    rule("4.2", "HEADERS of 16,385 bytes", ends(FRAME_SIZE_ERROR), frame(HEADERS, END_HEADERS, 1, bytes(16_385))),
    rule("4.2", "SETTINGS of 16,386 bytes", ends(FRAME_SIZE_ERROR), settings(*[(UNKNOWN_SETTING, 0)] * 2731)),
    rule("4.2", "an unknown type of 16,385 bytes", ends(FRAME_SIZE_ERROR), frame(UNKNOWN_TYPE, 0, 0, bytes(16_385))),
    rule("4.2", "a frame that claims 16 MiB", ends(FRAME_SIZE_ERROR), frame(PING, 0, 0, b"", length=2**24 - 1)),
    rule("4.3", "a header block that can't be decoded", ends(COMPRESSION_ERROR),
         frame(HEADERS, END_HEADERS, 1, b"\x40\x7f")),
    rule("4.3", "a broken header block in trailers", ends(COMPRESSION_ERROR),
         OPEN, frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff\xff")),
    rule("4.3", "a header block with a frame of another type within", ends(PROTOCOL_ERROR),
         frame(HEADERS, 0, 1, BLOCK), ping()),
    rule("4.3", "a header block with HEADERS of another stream within", ends(PROTOCOL_ERROR),
         frame(HEADERS, 0, 1, BLOCK), headers(3)),
    rule("5.5", "a header block with an unknown type within", ends(PROTOCOL_ERROR),
         frame(HEADERS, 0, 1, BLOCK), frame(UNKNOWN_TYPE, 0, 1, b""), frame(CONTINUATION, END_HEADERS, 1)),
]

STREAMS = [
    rule("5.1", "idle: DATA", ends(PROTOCOL_ERROR), data(1)),
    rule("5.1", "idle: RST_STREAM", ends(PROTOCOL_ERROR), frame(RST_STREAM, 0, 1, u32(CANCEL))),
    rule("5.1", "idle: WINDOW_UPDATE", ends(PROTOCOL_ERROR), window_update(1, 1)),
    rule("5.1", "idle: CONTINUATION", ends(PROTOCOL_ERROR), frame(CONTINUATION, END_HEADERS, 1, BLOCK)),
    rule("5.1", "idle: PRIORITY is allowed", serves(1), frame(PRIORITY, 0, 1, ANY_PRIORITY), request(1)),
    rule("5.1", "half-closed (remote): DATA", ends(STREAM_CLOSED), HALF_CLOSED, begun(1), data(1)),
    rule("5.1", "half-closed (remote): HEADERS", ends(STREAM_CLOSED), HALF_CLOSED, begun(1), headers(1)),
    rule("5.1", "half-closed (remote): CONTINUATION", ends(PROTOCOL_ERROR),
         HALF_CLOSED, begun(1), frame(CONTINUATION, END_HEADERS, 1, BLOCK)),
    rule("5.1", "half-closed (remote): WINDOW_UPDATE, PRIORITY and RST_STREAM are allowed", serves(),
         HALF_CLOSED, begun(1), window_update(1, 1), frame(PRIORITY, 0, 1, ANY_PRIORITY),
         frame(RST_STREAM, 0, 1, u32(CANCEL))),
    rule("5.1", "closed by END_STREAM: DATA", ends(STREAM_CLOSED), *CLOSED, data(1)),
    rule("5.1", "closed by END_STREAM: HEADERS", ends(STREAM_CLOSED), *CLOSED, headers(1)),
    rule("5.1", "closed by END_STREAM: CONTINUATION", ends(PROTOCOL_ERROR),
         *CLOSED, frame(CONTINUATION, END_HEADERS, 1, BLOCK)),
    rule("5.1", "closed by END_STREAM: WINDOW_UPDATE, PRIORITY and RST_STREAM are allowed", serves(),
         *CLOSED, window_update(1, 1), frame(PRIORITY, 0, 1, ANY_PRIORITY), frame(RST_STREAM, 0, 1, u32(CANCEL))),
    rule("5.1", "closed by the client's RST_STREAM: DATA", ends(STREAM_CLOSED), *RESET, data(1)),
    rule("5.1", "closed by the client's RST_STREAM: HEADERS", ends(STREAM_CLOSED), *RESET, trailers(1)),
    rule("5.1", "closed by the client's RST_STREAM: PRIORITY and RST_STREAM are allowed", serves(),
         *RESET, frame(PRIORITY, 0, 1, ANY_PRIORITY), frame(RST_STREAM, 0, 1, u32(CANCEL))),
    rule("5.1", "closed by the server's RST_STREAM: what was on its way is ignored", serves(),
         headers(1, also((b"connection", b"close"))), answered(1), data(1, bytes(5), 0), trailers(1)),
    rule("5.1.1", "an even id", ends(PROTOCOL_ERROR), headers(2)),
    rule("5.1.1", "stream 0", ends(PROTOCOL_ERROR), headers(0)),
    rule("5.1.1", "a lower id than before", ends(PROTOCOL_ERROR), headers(5), headers(3)),
    rule("5.1.1", "a lower id than that of an answered stream", ends(PROTOCOL_ERROR),
         request(5), answered(5), headers(3)),
    rule("5.1.1", "ids may be left out", serves(3, 101), request(3), request(101)),
    rule("5.1.1", "a stream opened far ahead", serves(0x8001), request(0x8001)),
    rule("5.4.2", "RST_STREAM in answer to nothing wrong: others go on", serves(3),
         OPEN, headers(3), frame(RST_STREAM, 0, 1, u32(CANCEL)), data(3)),
]

KINDS = [
    rule("6.1", "DATA on stream 0", ends(PROTOCOL_ERROR), data(0)),
    rule("6.1", "DATA with padding", serves(1), OPEN,
         frame(DATA, PADDED | END_STREAM, 1, b"\x07" + EMPTY_MESSAGE + bytes(7))),
    rule("6.1", "DATA of padding alone", serves(1), OPEN, frame(DATA, PADDED, 1, b"\x07" + bytes(7)), data(1)),
    rule("6.1", "DATA without bytes", serves(1), OPEN, data(1, b"", 0), data(1, EMPTY_MESSAGE, 0), data(1, b"")),
    rule("6.1", "DATA with padding longer than its payload", ends(PROTOCOL_ERROR),
         OPEN, frame(DATA, PADDED, 1, b"\x06" + EMPTY_MESSAGE)),
    rule("6.1", "padded DATA without the length of the padding", ends(FRAME_SIZE_ERROR, PROTOCOL_ERROR),
         OPEN, frame(DATA, PADDED, 1)),
    rule("6.2", "HEADERS with padding and priority", serves(1),
         frame(HEADERS, END_HEADERS | PADDED | PRIORITY_FLAG, 1, b"\x03" + ANY_PRIORITY + BLOCK + bytes(3)), data(1)),
    rule("6.2", "HEADERS with padding longer than the payload", ends(PROTOCOL_ERROR),
         frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + BLOCK[:20])),
    rule("6.2", "HEADERS too short for its priority", ends(FRAME_SIZE_ERROR, PROTOCOL_ERROR),
         frame(HEADERS, END_HEADERS | PRIORITY_FLAG, 1, b"\0\0\0")),
    rule("6.3", "PRIORITY on stream 0", ends(PROTOCOL_ERROR), frame(PRIORITY, 0, 0, ANY_PRIORITY)),
    rule("6.3", "PRIORITY on an open stream", serves(1), OPEN, frame(PRIORITY, 0, 1, ANY_PRIORITY), data(1)),
    rule("6.4", "RST_STREAM on stream 0", ends(PROTOCOL_ERROR), frame(RST_STREAM, 0, 0, u32(CANCEL))),
    rule("6.4", "RST_STREAM of 3 bytes", ends(FRAME_SIZE_ERROR), OPEN, frame(RST_STREAM, 0, 1, bytes(3))),
    rule("6.4", "RST_STREAM of 5 bytes", ends(FRAME_SIZE_ERROR), OPEN, frame(RST_STREAM, 0, 1, bytes(5))),
    rule("7", "RST_STREAM with an unknown code", serves(), OPEN, frame(RST_STREAM, 0, 1, u32(0xFADED))),
    rule("6.5", "SETTINGS on a stream", ends(PROTOCOL_ERROR), OPEN, settings(stream=1)),
    rule("6.5", "SETTINGS of 5 bytes", ends(FRAME_SIZE_ERROR), frame(SETTINGS, 0, 0, bytes(5))),
    rule("6.5", "an ACK with payload", ends(FRAME_SIZE_ERROR), settings((MAX_CONCURRENT_STREAMS, 1), flags=ACK)),
    rule("6.5.2", "ENABLE_PUSH 0 and 1", serves(), settings((ENABLE_PUSH, 0)), settings((ENABLE_PUSH, 1))),
    rule("6.5.2", "ENABLE_PUSH 2", ends(PROTOCOL_ERROR), settings((ENABLE_PUSH, 2))),
    rule("6.5.2", "INITIAL_WINDOW_SIZE 2^31", ends(FLOW_CONTROL_ERROR), settings((INITIAL_WINDOW_SIZE, 2**31))),
    rule("6.5.2", "INITIAL_WINDOW_SIZE 2^31 - 1", serves(), settings((INITIAL_WINDOW_SIZE, LARGEST))),
    rule("6.5.2", "MAX_FRAME_SIZE 16,383", ends(PROTOCOL_ERROR), settings((MAX_FRAME_SIZE, 16_383))),
    rule("6.5.2", "MAX_FRAME_SIZE 2^24", ends(PROTOCOL_ERROR), settings((MAX_FRAME_SIZE, 2**24))),
    rule("6.5.2", "MAX_FRAME_SIZE 2^24 - 1", serves(), settings((MAX_FRAME_SIZE, 2**24 - 1))),
    rule("6.5.2", "an unknown setting is ignored", serves(), settings((UNKNOWN_SETTING, 0xFFFFFFFF), (0, 0))),
    rule("6.5.3", "values are taken in order: the last one counts", serves(1),
         settings((INITIAL_WINDOW_SIZE, 0), (INITIAL_WINDOW_SIZE, 65_535)), request(1)),
    rule("6.6", "PUSH_PROMISE of a client", ends(PROTOCOL_ERROR),
         OPEN, frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + BLOCK)),
    rule("6.7", "PING on a stream", ends(PROTOCOL_ERROR), frame(PING, 0, 1, bytes(8))),
    rule("6.7", "PING of 7 bytes", ends(FRAME_SIZE_ERROR), frame(PING, 0, 0, bytes(7))),
    rule("6.7", "PING of 9 bytes", ends(FRAME_SIZE_ERROR), frame(PING, 0, 0, bytes(9))),
    rule("6.7", "an ACK that nobody waits for", serves(), ping(flags=ACK)),
    rule("6.8", "GOAWAY on a stream", ends(PROTOCOL_ERROR), OPEN, frame(GOAWAY, 0, 1, bytes(8))),
    rule("6.8", "GOAWAY of 7 bytes", ends(FRAME_SIZE_ERROR), frame(GOAWAY, 0, 0, bytes(7))),
    rule("6.9", "WINDOW_UPDATE of 3 bytes", ends(FRAME_SIZE_ERROR), frame(WINDOW_UPDATE, 0, 0, bytes(3))),
    rule("6.9", "WINDOW_UPDATE of 5 bytes", ends(FRAME_SIZE_ERROR), frame(WINDOW_UPDATE, 0, 0, bytes(5))),
    rule("6.9", "an increment of 0 on the connection", ends(PROTOCOL_ERROR), window_update(0, 0)),
    rule("6.9", "an increment of 0 on a stream", resets_or_ends(PROTOCOL_ERROR), OPEN, window_update(1, 0)),
    rule("6.9", "the reserved bit of an increment is ignored", serves(1), OPEN, window_update(1, 1 | 1 << 31), data(1)),
    rule("6.9.1", "the connection's window beyond 2^31 - 1", ends(FLOW_CONTROL_ERROR), window_update(0, LARGEST)),
    rule("6.9.1", "a stream's window beyond 2^31 - 1", resets(FLOW_CONTROL_ERROR), OPEN, window_update(1, LARGEST)),
    # The section wants an error of the connection; libnghttp2 ends the stream alone.
    rule("6.9.2", "a new initial window that takes a stream beyond 2^31 - 1", resets_or_ends(FLOW_CONTROL_ERROR),
         OPEN, window_update(1, LARGEST - 65_535), settings((INITIAL_WINDOW_SIZE, 65_536))),
    rule("6.10", "CONTINUATION carries a block on", serves(1), frame(HEADERS, 0, 1, BLOCK[:10]),
         frame(CONTINUATION, END_HEADERS, 1, BLOCK[10:]), data(1)),
    rule("6.10", "HEADERS without bytes of the block", serves(1),
         frame(HEADERS, 0, 1), frame(CONTINUATION, END_HEADERS, 1, BLOCK), data(1)),
    rule("6.10", "CONTINUATION of trailers", serves(1), OPEN, data(1, flags=0),
         frame(HEADERS, END_STREAM, 1, b"\x00"), frame(CONTINUATION, END_HEADERS, 1, string(b"x") + string(b"y"))),
    rule("6.10", "CONTINUATION on stream 0", ends(PROTOCOL_ERROR),
         frame(HEADERS, 0, 1, BLOCK), frame(CONTINUATION, END_HEADERS, 0)),
    rule("6.10", "CONTINUATION of another stream", ends(PROTOCOL_ERROR),
         frame(HEADERS, 0, 1, BLOCK), frame(CONTINUATION, END_HEADERS, 3)),
    rule("6.10", "CONTINUATION behind END_HEADERS", ends(PROTOCOL_ERROR),
         OPEN, frame(CONTINUATION, END_HEADERS, 1, literal(b"x", b"y"))),
    rule("6.10", "CONTINUATION behind DATA", ends(PROTOCOL_ERROR),
         OPEN, data(1, flags=0), frame(CONTINUATION, END_HEADERS, 1, literal(b"x", b"y"))),
    rule("6.10", "CONTINUATION without HEADERS", ends(PROTOCOL_ERROR), frame(CONTINUATION, END_HEADERS, 1, BLOCK)),
]


@pytest.mark.parametrize("wanted", FRAMES + STREAMS + KINDS)
def test_rule(connection: Connection, wanted: Rule) -> None:
    try_rule(connection, wanted)


# Rules about what the server sends.

def test_3_4_the_server_begins_with_settings(port: int, bystander: Connection) -> None:
    with Connection(port, greeting=None) as connection:
        connection.send(PREFACE + settings())
        connection.until(lambda: connection.received, "its first frame")
        first = connection.received[0]
        assert isinstance(first, frames.SettingsFrame) and "ACK" not in first.flags


@pytest.mark.parametrize("is_cut", [False, True])
def test_3_4_a_client_need_not_wait_for_settings(port: int, is_cut: bool, bystander: Connection) -> None:
    with Connection(port, greeting=None, is_cut=is_cut) as connection:
        connection.send(PREFACE + settings((MAX_HEADER_LIST_SIZE, 100_000)) + request(1))
        assert connection.answer(1).grpc_status == "0"
        connection.assert_serves()


@pytest.mark.parametrize("begin", [
    pytest.param(PREFACE[:-8] + b"XX\r\n\r\n" + settings(), id="another word"),
    pytest.param(PREFACE.replace(b"2.0", b"3.0") + settings(), id="another version"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), id="TLS"),
    pytest.param(bytes(64), id="zeros"),
    pytest.param(PREFACE + ping(), id="PING first"),
    pytest.param(PREFACE + request(1), id="HEADERS first"),
    pytest.param(PREFACE + settings(flags=ACK), id="an ACK first"),
])
def test_3_4_without_preface_the_connection_ends(port: int, begin: bytes, bystander: Connection) -> None:
    """GOAWAY may be left out: the peer may not speak HTTP/2."""
    with Connection(port, greeting=None) as connection:
        connection.send(begin)
        connection.until(lambda: connection.is_closed, "the end of the connection")
        assert connection.goaway is None or connection.goaway.error_code == PROTOCOL_ERROR


def test_4_2_the_server_keeps_to_our_frame_size(connection: Connection) -> None:
    connection.send(request(1))
    connection.answer(1)
    assert all(len(each.serialize()) <= 9 + 16_384 for each in connection.received)


def test_5_1_2_streams_beyond_the_limit_are_refused(port: int, bystander: Connection) -> None:
    with Connection(port) as connection:
        announced = next(each.settings[MAX_CONCURRENT_STREAMS] for each in connection.received
                         if isinstance(each, frames.SettingsFrame) and each.settings)
        # The server counts by its SETTINGS once it has our ACK, which went out before these.
        connection.send(b"".join(headers(2 * index + 1) for index in range(announced + 1)))
        beyond = 2 * announced + 1
        connection.until(lambda: connection.is_closed or beyond in connection.answers, "a refusal")
        if connection.goaway is not None:
            # 5.4.1 allows an error of the connection for any error of a stream; libnghttp2 takes it for this one.
            assert (connection.goaway.error_code, connection.goaway.last_stream_id) == (PROTOCOL_ERROR, beyond - 2)
            return
        assert connection.answers[beyond].reset in (REFUSED_STREAM, PROTOCOL_ERROR)
        # One ends: there is room again.
        connection.send(data(1))
        assert connection.answer(1).grpc_status == "0"
        connection.assert_serves(beyond + 2)


def test_5_1_2_as_many_streams_as_announced(port: int, bystander: Connection) -> None:
    with Connection(port) as connection:
        announced = next(each.settings[MAX_CONCURRENT_STREAMS] for each in connection.received
                         if isinstance(each, frames.SettingsFrame) and each.settings)
        streams = range(1, 2 * announced, 2)
        for wave in (streams, range(2 * announced + 1, 4 * announced, 2)):
            connection.send(b"".join(headers(stream) for stream in wave), b"".join(data(stream) for stream in wave))
            assert {connection.answer(stream).grpc_status for stream in wave} == {"0"}
        connection.assert_serves()


def test_6_10_continuations_in_a_row(port: int, bystander: Connection) -> None:
    """Eight, some empty. Not cut: libnghttp2 takes eight, and counts one again for each read within its head."""
    with Connection(port) as connection:
        pieces = [BLOCK[:10], b"", BLOCK[10:11], b"", BLOCK[11:50], BLOCK[50:51], BLOCK[51:60]]
        connection.send(frame(HEADERS, 0, 1), *[frame(CONTINUATION, 0, 1, piece) for piece in pieces],
                        frame(CONTINUATION, END_HEADERS, 1, BLOCK[60:]), data(1))
        assert connection.answer(1).grpc_status == "0"
        connection.assert_serves()


def test_6_10_endless_continuations_end_the_connection(port: int, bystander: Connection) -> None:
    """10.5: the attack of 2024. However many are taken, it is not for ever."""
    with Connection(port) as connection:
        connection.send(frame(HEADERS, 0, 1, BLOCK), *[frame(CONTINUATION, 0, 1, literal(b"x", b"y"))] * 1000)
        connection.until(lambda: connection.is_closed, "the end of the connection")


def test_6_5_3_each_settings_is_acknowledged(connection: Connection) -> None:
    connection.send(settings(), settings((HEADER_TABLE_SIZE, 100)), settings((UNKNOWN_SETTING, 1)))
    connection.until(lambda: connection.count(frames.SettingsFrame) >= 5, "three ACKs more")
    connection.assert_serves()


def test_6_7_ping_is_answered_with_its_bytes(connection: Connection) -> None:
    connection.send(ping(b"\x00\xff\x01\xfe\x02\xfd\x03\xfc"))
    connection.until(lambda: connection.count(frames.PingFrame), "the answer to PING")
    (answer,) = [each for each in connection.received if isinstance(each, frames.PingFrame)]
    assert ("ACK" in answer.flags, answer.opaque_data) == (True, b"\x00\xff\x01\xfe\x02\xfd\x03\xfc")
    connection.assert_serves()


def test_6_8_streams_go_on_behind_the_clients_goaway(connection: Connection) -> None:
    connection.send(OPEN, frame(GOAWAY, 0, 0, u32(0) + u32(NO_ERROR) + b"with words"), data(1))
    assert connection.answer(1).grpc_status == "0"
    connection.until(lambda: connection.is_closed, "the end of the connection")
    assert connection.goaway is None or connection.goaway.error_code == NO_ERROR


def test_6_9_the_server_waits_for_the_window_of_a_stream(connection: Connection) -> None:
    connection.send(settings((INITIAL_WINDOW_SIZE, 3)), request(1))
    connection.until(lambda: 1 in connection.answers and len(connection.answers[1].body) == 3, "three bytes")
    # What comes behind the answer to this PING was sent after the server had taken our request.
    connection.send(ping())
    connection.until(lambda: connection.count(frames.PingFrame), "the answer to PING")
    assert len(connection.answers[1].body) == 3 and not connection.answers[1].ended
    connection.send(window_update(1, 100), settings((INITIAL_WINDOW_SIZE, 65_535)))
    assert connection.answer(1).grpc_status == "0"
    connection.assert_serves()


def test_6_9_2_a_window_may_become_negative(connection: Connection) -> None:
    connection.send(settings((INITIAL_WINDOW_SIZE, 3)), request(1))
    connection.until(lambda: 1 in connection.answers and len(connection.answers[1].body) == 3, "three bytes")
    # 0 - 3 = -3: 3 bring it to 0, and only the next 1 lets a byte out.
    connection.send(settings((INITIAL_WINDOW_SIZE, 0)), window_update(1, 3), ping())
    connection.until(lambda: connection.count(frames.PingFrame), "the answer to PING")
    assert len(connection.answers[1].body) == 3
    connection.send(window_update(1, 1))
    connection.until(lambda: len(connection.answers[1].body) == 4, "one byte more")
    connection.send(window_update(1, 100), settings((INITIAL_WINDOW_SIZE, 65_535)))
    assert connection.answer(1).grpc_status == "0"
    connection.assert_serves()


def test_6_9_the_server_waits_for_the_window_of_the_connection(port: int, bystander: Connection) -> None:
    """65,535 bytes for all streams together, whatever the windows of streams are: 9,362 answers' bodies and a byte."""
    def body_bytes() -> int:
        return sum(len(answer.body) for answer in connection.answers.values())

    with Connection(port) as connection:
        connection.send(settings((INITIAL_WINDOW_SIZE, LARGEST)))
        size, first = 7, 1
        while body_bytes() < 65_535 - size * 500:
            wave = range(first, first + 1000, 2)
            connection.send(b"".join(request(stream) for stream in wave))
            assert {len(connection.answer(stream).body) for stream in wave} == {size}
            first += 1000
        connection.send(b"".join(request(stream) for stream in range(first, first + 1200, 2)))
        connection.until(lambda: body_bytes() == 65_535, "the end of the window")
        connection.send(ping())
        connection.until(lambda: connection.count(frames.PingFrame), "the answer to PING")
        assert body_bytes() == 65_535
        connection.send(window_update(0, 1 << 20))
        assert len(connection.answer(first + 1198).body) == size
        connection.assert_serves()


