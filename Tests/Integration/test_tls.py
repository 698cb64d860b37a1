"""TLS as clients of a real espd meet it: grpcio, Python's ssl and openssl s_client; settings; reload; shutdown."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from espclient.channel import open_channel
from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from certificates import Certificates
from espd_process import Espd, free_port, make_folder, run_espd, wait_for
from ingest_stream import IngestStream, make_batch

MakeEspd = Callable[..., Espd]


@pytest.fixture
def certificates() -> Iterator[Certificates]:
    folder = make_folder("esp tls ")
    yield Certificates(folder / "tls files")
    shutil.rmtree(folder)


@pytest.fixture
def tls(make_espd: MakeEspd, certificates: Certificates) -> Espd:
    """A started server with TLS besides h2c."""
    return make_espd(**certificates.settings(f"127.0.0.1:{free_port()}")).start()


@pytest.fixture
def mutual(make_espd: MakeEspd, certificates: Certificates) -> Espd:
    """As `tls`, and clients must show a certificate of `ca`."""
    return make_espd(**certificates.settings(f"127.0.0.1:{free_port()}", client_authority="ca")).start()


def ingest(channel: grpc.Channel, device: str, sequence: int = 1, readings: int = 3) -> int:
    stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
    request = pb.IngestRequest(readings=make_batch(device, sequence, readings).readings,
                               ack_level=pb.ACK_LEVEL_COMMITTED)
    return stub.Ingest(request, timeout=30).result.stored


def refusal(channel: grpc.Channel) -> grpc.StatusCode:
    with channel, pytest.raises(grpc.RpcError) as refused:
        ingest(channel, "nobody")
    return refused.value.code()


def tls_port(espd: Espd) -> int:
    return int(espd.tls_target.rpartition(":")[2])


# Calls.


def test_calls_over_tls_and_without_it_reach_the_same_tables(tls: Espd, certificates: Certificates, name: str):
    with certificates.open_channel(tls.tls_target) as sealed, open_channel(tls.target) as plain:
        assert ingest(sealed, name, 1) == 3
        assert ingest(plain, name, 2) == 3
        # Many frames of many records.
        assert ingest(sealed, name, 3, 20_000) == 20_000
        assert tls.database.count("telemetry", f"device_id = '{name}'") == 20_006
        request = pb.ExportReadingsRequest(device_id=[name])
        request.start_time.FromSeconds(0)
        export = telemetry_pb2_grpc.TelemetryServiceStub(sealed).ExportReadings(request, timeout=60)
        assert sum(1 for _ in export) == 20_006
    tls.stop()


def test_many_clients_at_once(tls: Espd, certificates: Certificates, name: str):
    def one(number: int) -> int:
        with certificates.open_channel(tls.tls_target) as channel:
            return sum(ingest(channel, f"{name}-{number}", sequence) for sequence in range(5))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(64))) == [15] * 64


def test_a_client_that_trusts_another_authority_does_not_call(tls: Espd, certificates: Certificates):
    certificates.make_authority("stranger")
    assert refusal(certificates.open_channel(tls.tls_target, authority="stranger")) is grpc.StatusCode.UNAVAILABLE


def test_a_plain_client_at_the_tls_port_and_the_reverse_are_refused(tls: Espd, certificates: Certificates):
    assert refusal(open_channel(tls.tls_target)) is grpc.StatusCode.UNAVAILABLE
    assert refusal(certificates.open_channel(tls.target)) is grpc.StatusCode.UNAVAILABLE
    with certificates.open_channel(tls.tls_target) as channel:
        assert ingest(channel, "after") == 3


@pytest.mark.parametrize("protocols", [("http/1.0",), ("h3", "spdy/3"), ("h2c",)])
def test_a_client_that_offers_no_version_of_ours_is_refused_in_the_handshake(
        tls: Espd, certificates: Certificates, protocols: tuple):
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        certificates.connect(tls_port(tls), *protocols)


@pytest.mark.parametrize(("protocols", "chosen"), [
    (("http/1.1",), "http/1.1"), (("h2",), "h2"), (("http/1.1", "h2"), "h2"), (("h3", "http/1.1"), "http/1.1"),
])
def test_h2_is_chosen_before_http_1_1(tls: Espd, certificates: Certificates, protocols: tuple, chosen: str):
    with certificates.connect(tls_port(tls), *protocols) as connection:
        assert connection.selected_alpn_protocol() == chosen


def test_openssl_agrees_on_versions(tls: Espd, certificates: Certificates):
    def connect(*arguments: str) -> str:
        return certificates.openssl("s_client", "-connect", tls.tls_target, "-alpn", "h2", "-CAfile", "ca.pem",
                                    "-verify_return_error", *arguments, check=False)

    for version in ("TLSv1.2", "TLSv1.3"):
        text = connect(f"-{version.lower().replace('v', '').replace('.', '_')}")
        assert f"New, {version}, " in text
        assert "ALPN protocol: h2" in text
        assert "Verify return code: 0 (ok)" in text
    assert "alert protocol version" in connect("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")


# Mutual TLS.


def test_only_clients_with_a_certificate_of_the_authority_get_in(mutual: Espd, certificates: Certificates, name: str):
    certificates.issue("gateway", "/CN=gateway 12", "URI:spiffe://field-7/gateway/12")
    with certificates.open_channel(mutual.tls_target, client="gateway") as channel:
        assert ingest(channel, name) == 3
    certificates.make_authority("stranger")
    certificates.issue("foreign", "/CN=gateway 12", "URI:spiffe://field-7/gateway/12", by="stranger")
    for client in ("foreign", None):
        channel = certificates.open_channel(mutual.tls_target, client=client)
        assert refusal(channel) is grpc.StatusCode.UNAVAILABLE
    assert mutual.database.count("telemetry", "device_id = 'nobody'") == 0


# Reload and shutdown.


def test_sighup_changes_the_certificate_and_breaks_no_stream(tls: Espd, certificates: Certificates, name: str):
    port = tls_port(tls)
    with certificates.open_channel(tls.tls_target) as channel, IngestStream(channel, name) as stream:
        stream.opened()
        stream.send_batches([make_batch(name, 1)])
        assert stream.result().stored == 3
        assert certificates.subject(port) == "first"
        certificates.issue("server", "/CN=second", "DNS:localhost,IP:127.0.0.1")
        assert certificates.subject(port) == "first"
        os.kill(tls.pid, signal.SIGHUP)
        wait_for(lambda: certificates.subject(port) == "second", "the new certificate")
        stream.send_batches(make_batch(name, number) for number in range(2, 50))
        assert [stream.result().stored for _ in range(2, 50)] == [3] * 48

        certificates.certificate("server").write_text("half a fi")
        os.kill(tls.pid, signal.SIGHUP)
        wait_for(lambda: "the old one stays" in tls.log.read_text(), "the error in the log")
        assert certificates.subject(port) == "second"
        stream.send_batches([make_batch(name, 50)])
        assert stream.result().stored == 3
    (line,) = [json.loads(line) for line in tls.log.read_text().splitlines() if "the old one stays" in line]
    assert line["level"] == "error"
    assert str(certificates.certificate("server")) in line["reason"]
    tls.stop()


def test_a_revoked_certificate_is_refused_from_the_next_sighup_on(
        make_espd: MakeEspd, certificates: Certificates, name: str):
    for client in ("stolen", "other"):
        certificates.issue(client, f"/CN={client}", f"DNS:{client}")
    settings = certificates.settings(f"127.0.0.1:{free_port()}", client_authority="ca")
    espd = make_espd(**settings, ESP_TLS_CLIENT_CRL=str(certificates.revoke())).start()

    def is_let_in(client: str) -> bool:
        with certificates.open_channel(espd.tls_target, client=client) as channel:
            try:
                return ingest(channel, f"{name}-{client}") >= 0
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE
                return False

    with certificates.open_channel(espd.tls_target, client="stolen") as before, \
            IngestStream(before, f"{name}-open") as stream:
        stream.opened()
        assert is_let_in("other")
        certificates.revoke("stolen")
        assert is_let_in("stolen"), "until it is read again"
        os.kill(espd.pid, signal.SIGHUP)
        wait_for(lambda: not is_let_in("stolen"), "the list is in force")
        assert is_let_in("other")
        # A connection that was let in stays: an operator ends it by KillStream.
        stream.send_batches([make_batch(f"{name}-open", 1)])
        assert stream.result().stored == 3
        # A list that can't be read leaves the old one in force.
        (certificates.folder / "ca.crl").write_text("half a li")
        os.kill(espd.pid, signal.SIGHUP)
        wait_for(lambda: "the old one stays" in espd.log.read_text(), "the error in the log")
        assert not is_let_in("stolen")
        assert is_let_in("other")
    espd.stop()


def test_sighup_without_tls_changes_nothing(espd: Espd, name: str):
    os.kill(espd.pid, signal.SIGHUP)
    wait_for(lambda: "TLS is off" in espd.log.read_text(), "the answer in the log")
    with open_channel(espd.target) as channel:
        assert ingest(channel, name) == 3
    espd.stop()


def test_the_end_of_the_server_drains_both_listeners(tls: Espd, certificates: Certificates, name: str):
    with certificates.open_channel(tls.tls_target) as sealed, open_channel(tls.target) as plain:
        with IngestStream(sealed, f"{name}-1") as first, IngestStream(plain, f"{name}-2") as second:
            for stream in (first, second):
                stream.opened()
            for stream in (first, second):
                stream.send_batches([make_batch(name, 1)])
                assert stream.result().stored == 3
            tls.terminate()
            for stream in (first, second):
                assert stream.next().drain.last_sequence == 1
                stream.end()
                assert stream.status()[0] is grpc.StatusCode.OK
            assert tls.wait() == 0


# Settings.


def check_config(**settings: str) -> tuple[int, str, str]:
    done = run_espd("check-config", **settings)
    return done.returncode, done.stdout, done.stderr


def test_check_config_shows_the_settings_and_warns(certificates: Certificates):
    settings = certificates.settings("0.0.0.0:8443", client_authority="ca")
    code, output, errors = check_config(**settings)
    assert (code, errors) == (0, "")
    shown = dict(line.split(" = ", 1) for line in output.splitlines())
    of_tls = {f"ESP_{key.upper()}": value for key, value in shown.items() if key.startswith("tls_")}
    assert of_tls == settings | {"ESP_TLS_CLIENT_CRL": ""}
    certificates.key("server").chmod(0o644)
    code, _, errors = check_config(**settings)
    assert code == 0
    assert f"warning: the key file {certificates.key('server')} has mode 0644" in errors


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"ESP_TLS_CERT": "/absent.pem"}, "/absent.pem can't be read: No such file or directory"),
        ({"ESP_TLS_KEY": "ca.key"}, "does not belong to the certificate"),
        ({"ESP_TLS_CLIENT_CA": "server.key"}, "holds no certificates"),
        ({"ESP_TLS_CLIENT_CA": "ca.pem", "ESP_TLS_CLIENT_CRL": "/absent.crl"}, "/absent.crl can't be read"),
        ({"ESP_TLS_CLIENT_CA": "ca.pem", "ESP_TLS_CLIENT_CRL": "ca.pem"}, "certificate revocation lists in PEM form"),
        ({"ESP_TLS_CLIENT_CRL": "ca.pem"}, "tls_client_crl is set and tls_client_ca is not"),
        ({"ESP_TLS_KEY": ""}, "tls_cert and tls_key are needed"),
        ({"ESP_TLS_LISTEN": ""}, "tls_cert is set and tls_listen is not"),
        ({"ESP_TLS_LISTEN": "8443"}, "tls_listen is 8443; host:port is needed"),
        ({"ESP_TLS_LISTEN": ":8443"}, "a host is needed"),
        ({"ESP_LISTEN": "0.0.0.0:8095"}, "use tls_listen for others"),
    ],
)
def test_what_can_not_be_used_is_named(certificates: Certificates, change: dict[str, str], phrase: str):
    values = {key: str(certificates.folder / value) if value in ("ca.key", "server.key", "ca.pem") else value
              for key, value in change.items()}
    settings = certificates.settings("127.0.0.1:8443") | values
    for command in ("check-config", "serve"):
        done = run_espd(command, **settings)
        assert done.returncode == 1
        assert phrase in done.stderr
        assert "Fatal" not in done.stderr


def test_a_port_in_use_is_named(shared: Espd, certificates: Certificates):
    folder = make_folder()
    done = run_espd("serve", "--listen", "127.0.0.1:0", "--data-dir", folder / "data",
                    **certificates.settings(shared.target))
    shutil.rmtree(folder)
    assert done.returncode == 1
    assert f"can't listen on {shared.target}" in done.stderr


def test_tls_may_listen_beyond_loopback(make_espd: MakeEspd, certificates: Certificates, name: str):
    port = free_port()
    espd = make_espd(**certificates.settings(f"0.0.0.0:{port}")).start()
    with certificates.open_channel(f"127.0.0.1:{port}") as channel:
        assert ingest(channel, name) == 3
    espd.stop()
