"""Settings, commands and data folders: what is wrong is said in one sentence, with exit code 1."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from espclient.channel import open_channel
from espclient.protocol import telemetry_pb2 as pb
from espclient.protocol import telemetry_pb2_grpc

from certificates import Certificates
from cluster import Cluster
from database import Database
from espd_process import Espd, free_port, make_folder, run_espd
from ingest_stream import make_batch


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = make_folder()
    yield folder
    shutil.rmtree(folder)


def settings(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    return dict(line.split(" = ", 1) for line in done.stdout.splitlines())


def assert_failure(done: subprocess.CompletedProcess[str], *phrases: str, code: int = 1) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    text = " ".join(line for line in done.stderr.splitlines() if not line.startswith("{"))
    for phrase in phrases:
        assert phrase in text, done.stderr
    assert "Fatal" not in done.stderr


# Where settings come from.


def test_a_flag_is_before_the_environment_and_that_before_the_file(folder: Path):
    file = folder / "espd.json"
    file.write_text(json.dumps({"listen": "127.0.0.1:1001", "data_dir": "/file", "max_reading_age_days": 7}))
    config = ("check-config", "--config", file)
    environment = {"ESP_LISTEN": "127.0.0.1:1002", "ESP_DATA_DIR": "/environment"}
    seen = settings(run_espd(*config, "--listen", "127.0.0.1:1003", **environment))
    assert (seen["listen"], seen["data_dir"], seen["max_reading_age_days"]) == ("127.0.0.1:1003", "/environment", "7")
    assert settings(run_espd(*config, **environment))["listen"] == "127.0.0.1:1002"
    assert settings(run_espd(*config))["listen"] == "127.0.0.1:1001"
    assert settings(run_espd("check-config"))["listen"] == "127.0.0.1:8095"


def test_secrets_are_masked(folder: Path):
    url = "postgres://esp:topsecret@127.0.0.1:5432/telemetry"
    file = folder / "espd.json"
    file.write_text(json.dumps({"database_url": url}))
    for done in (run_espd("check-config", ESP_DATABASE_URL=url), run_espd("check-config", "--config", file)):
        assert settings(done)["database_url"] == "***"
        assert "topsecret" not in done.stdout + done.stderr
    assert settings(run_espd("check-config"))["database_url"] == ""


def test_an_unknown_setting_names_the_nearest(folder: Path):
    assert_failure(run_espd("check-config", ESP_LISTN="x"), "unknown setting listn", "nearest known one is listen")
    assert_failure(run_espd("serve", ESP_DATABSE_URL="x"), "unknown setting databse_url", "database_url")
    file = folder / "espd.json"
    file.write_text(json.dumps({"log_levle": "info"}))
    assert_failure(run_espd("check-config", "--config", file), "unknown setting log_levle", "log_level")
    assert_failure(run_espd("check-config", "--data-dirr", "x"), "--data-dirr", "--data-dir", code=64)


@pytest.mark.parametrize(
    ("name", "value", "phrase"),
    [
        ("LISTEN", "127.0.0.1", "host:port is needed"),
        ("LISTEN", "127.0.0.1:66000", "host:port is needed"),
        ("LISTEN", "0.0.0.0:8095", "only loopback"),
        ("LISTEN", "10.0.0.1:8095", "only loopback"),
        ("LISTEN", "[::]:8095", "only loopback"),
        ("LISTEN", "example.com:8095", "only loopback"),
        ("LISTEN", "127.example.com.:8095", "only loopback"),
        ("LISTEN", "127.a.b.example:8095", "only loopback"),
        ("LISTEN", "127.0.0.999:8095", "only loopback"),
        ("LISTEN", "0127.0.0.1:8095", "only loopback"),
        ("LOG_LEVEL", "loud", "log_level is loud"),
        ("LOG_FORMAT", "xml", "log_format is xml"),
        ("MAX_READING_AGE_DAYS", "0", "max_reading_age_days is 0"),
        ("MAX_READING_AGE_DAYS", "a month", "a whole number"),
        ("DRAIN_TIMEOUT_SECONDS", "-1", "drain_timeout_seconds is -1"),
        ("EVENT_LOOPS", "0", "event_loops is 0"),
        ("MEMORY_BUDGET_MIB", "63", "memory_budget_mib is 63"),
        ("MEMORY_BUDGET_MIB", "lots", "a whole number"),
        ("MAX_MESSAGE_MIB", "17", "memory_budget_mib is 256; at least 272 is needed"),
        ("MAX_CONNECTIONS", "0", "max_connections is 0"),
        ("MAX_STREAMS", "0", "max_streams is 0"),
        ("IDLE_TIMEOUT_SECONDS", "0", "idle_timeout_seconds is 0"),
        ("HANDSHAKE_TIMEOUT_SECONDS", "0", "handshake_timeout_seconds is 0"),
        ("HEARTBEAT_SECONDS", "0", "heartbeat_seconds is 0"),
        ("CORS_ORIGINS", "*", "* is not taken"),
        ("CORS_ORIGINS", "null", "cors_origins has null"),
        ("CORS_ORIGINS", "dashboard.example", "exact origins are needed"),
        ("CORS_ORIGINS", "https://dashboard.example/", "cors_origins has https://dashboard.example/"),
        ("CORS_ORIGINS", "https://Dashboard.example", "lower case"),
        ("CORS_ORIGINS", "https://dashboard.example:443", "without the scheme's own port"),
        ("CORS_ORIGINS", "http://dashboard.example:80", "without the scheme's own port"),
        ("CORS_ORIGINS", "https://*.example", "cors_origins has https://*.example"),
        ("CORS_ORIGINS", "ftp://dashboard.example", "cors_origins has ftp://dashboard.example"),
        ("CORS_ORIGINS", "https://a.example https://b.example", "cors_origins has https://a.example https://"),
        ("CORS_ORIGINS", "https://a.example,b.example", "cors_origins has b.example;"),
    ],
)
def test_a_value_that_can_not_be_used_is_named(name: str, value: str, phrase: str):
    assert_failure(run_espd("serve", **{f"ESP_{name}": value}), phrase)


def test_origins_are_a_list(folder: Path):
    origins = "https://dashboard.example, http://localhost:3000 ,http://[::1]:8080"
    plain = "https://dashboard.example,http://localhost:3000,http://[::1]:8080"
    assert settings(run_espd("check-config", ESP_CORS_ORIGINS=origins))["cors_origins"] == plain
    assert settings(run_espd("check-config", "--cors-origins", origins, ESP_CORS_ORIGINS="x"))["cors_origins"] == plain
    file = folder / "espd.json"
    file.write_text(json.dumps({"cors_origins": "https://dashboard.example"}))
    shown = settings(run_espd("check-config", "--config", file))
    assert shown["cors_origins"] == "https://dashboard.example"
    assert settings(run_espd("check-config"))["cors_origins"] == ""


GIVEN = {
    "listen": "127.0.0.1:1001", "tls_listen": "0.0.0.0:1002", "cors_origins": "https://a.example",
    "reflection": "false",
    "data_dir": "/d", "database_url": "postgres://u@h/n", "log_level": "debug", "log_format": "json",
    "max_reading_age_days": "7", "producer_expiry_days": "6", "drain_timeout_seconds": "8", "event_loops": "3",
    "memory_budget_mib": "640",
    "max_connections": "9", "max_streams": "11", "max_message_mib": "5", "idle_timeout_seconds": "12",
    "handshake_timeout_seconds": "13", "heartbeat_seconds": "14", "journal_max_mib": "1024",
    "journal_max_disk_percent": "80", "journal_segment_mib": "32",
}
"""Every setting but those of TLS files, with a value that is not its default."""


def test_every_setting_can_be_given_as_flag_as_variable_and_in_the_file(folder: Path):
    certificates = Certificates(folder / "tls files")
    files = {"tls_cert": "server.pem", "tls_key": "server.key", "tls_client_ca": "ca.pem", "tls_client_crl": "ca.crl"}
    certificates.revoke()
    given = GIVEN | {name: str(certificates.folder / file) for name, file in files.items()}
    file = folder / "espd.json"
    file.write_text(json.dumps(given))
    flags = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
    expected = given | {"database_url": "***"}
    for done in (run_espd("check-config", *flags),
                 run_espd("check-config", **{f"ESP_{name.upper()}": value for name, value in given.items()}),
                 run_espd("check-config", "--config", file)):
        assert dict(line.split(" = ", 1) for line in done.stdout.splitlines()) == expected, done.stderr


def test_a_file_that_can_not_be_read_is_named(folder: Path):
    assert_failure(run_espd("check-config", "--config", folder / "absent.json"), "absent.json", "can't be read")
    file = folder / "espd.json"
    file.write_text("{listen: 1}")
    assert_failure(run_espd("check-config", "--config", file), "espd.json", "not a JSON object")


def test_a_setting_of_a_later_version_is_accepted_and_said_to_have_no_effect(make_espd: Callable[..., Espd]):
    espd = make_espd(ESP_REDIS_URL="redis://127.0.0.1").start()
    espd.stop()
    assert '"setting":"redis_url"' in espd.log.read_text()


def test_log_lines_are_json_with_date_and_level(make_espd: Callable[..., Espd]):
    espd = make_espd().start()
    espd.stop()
    lines = [json.loads(line) for line in espd.log.read_text().splitlines()]
    assert lines
    for line in lines:
        written = datetime.datetime.fromisoformat(line["time"])
        assert abs(time.time() - written.timestamp()) < 300
        assert {"level", "logger", "message"} <= set(line)


# Ports and folders.


def test_a_port_in_use_is_named(folder: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        done = run_espd("serve", "--listen", address, "--data-dir", folder / "data")
        assert_failure(done, f"can't listen on {address}")
        assert time.monotonic() - began < 30
    assert not (folder / "data" / "postgres" / "data" / "postmaster.pid").exists(), "its database has been stopped"


def test_a_second_espd_on_the_same_folder_names_the_first(shared: Espd):
    done = run_espd("serve", "--listen", f"127.0.0.1:{free_port()}", "--data-dir", shared.data)
    assert_failure(done, str(shared.data), "in use by another espd", str(shared.pid))
    with open_channel(shared.target) as channel:
        assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10).status == 1


def test_a_folder_of_another_postgresql_is_refused(make_espd: Callable[..., Espd]):
    espd = make_espd().start()
    espd.stop()
    version = espd.data / "postgres" / "data" / "PG_VERSION"
    own = version.read_text()
    version.write_text("9\n")
    done = run_espd("serve", "--listen", espd.target, "--data-dir", espd.data)
    assert_failure(done, "made by PostgreSQL 9", f"installed is {own.strip()}", "apt-get install postgresql-9")
    version.write_text(own)
    espd.start()
    espd.stop()


def test_a_folder_that_is_not_ours_is_left_alone(folder: Path):
    (folder / "data" / "postgres").mkdir(parents=True)
    precious = folder / "data" / "postgres" / "precious"
    precious.write_text("keep")
    done = run_espd("serve", "--listen", f"127.0.0.1:{free_port()}", "--data-dir", folder / "data")
    assert_failure(done, "files that espd did not make")
    assert precious.read_text() == "keep"


def test_the_folder_and_the_socket_are_private(shared: Espd):
    cluster = (shared.data / "postgres").resolve()
    assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
    assert stat.S_IMODE(shared.socket_directory.stat().st_mode) == 0o700
    # No port: the socket is the only way in.
    assert shared.database.value("SELECT current_setting('listen_addresses')") == ""


def ingest_and_query(espd: Espd) -> None:
    with open_channel(espd.target) as channel:
        stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        request = pb.IngestRequest(readings=make_batch("d", 1).readings, ack_level=pb.ACK_LEVEL_COMMITTED)
        assert stub.Ingest(request, timeout=30).result.stored == 3
        request = pb.QueryReadingsRequest(device_id=["d"])
        request.start_time.FromSeconds(int(time.time()) - 2 * 86_400)
        assert len(stub.QueryReadings(request, timeout=30).readings) == 3


def test_a_long_path_with_spaces_quotes_and_commas(make_espd: Callable[..., Espd]):
    """Its socket goes to /tmp, and goes again with the server."""
    espd = make_espd()
    espd.data = espd.folder / "it's a \"long\", long path" / ("d" * 80) / "data"
    espd.start()
    sockets = espd.socket_directory
    assert sockets.parent == Path("/tmp")
    ingest_and_query(espd)
    espd.kill()
    espd.start()
    assert not sockets.exists()
    sockets = espd.socket_directory
    espd.stop()
    assert not sockets.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a home that user postgres can't enter")
def test_a_data_folder_below_a_private_home(make_espd: Callable[..., Espd]):
    espd = make_espd()
    home = espd.folder / "a home"
    home.mkdir(mode=0o700)
    espd.data = home / "data"
    espd.start()
    place = espd.data / "postgres"
    assert place.is_symlink()
    assert place.resolve().parent == Path("/var/lib/esp-embedded")
    ingest_and_query(espd)
    espd.kill()
    espd.start()
    assert espd.database.count("telemetry") == 3
    espd.stop()


# Migrations.


def statuses(done: subprocess.CompletedProcess[str]) -> set[str]:
    assert done.returncode == 0, done.stderr
    return {line.rpartition(": ")[2] for line in done.stdout.splitlines()}


def tables(database: Database) -> set[str]:
    return {row["tablename"] for row in database.rows(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'telemetry\\_p%'")}


def test_migrations_of_an_external_database():
    with Cluster() as cluster:
        def migrate(command: str) -> subprocess.CompletedProcess[str]:
            return run_espd("migrate", command, ESP_DATABASE_URL=cluster.url)

        assert statuses(migrate("status")) == {"not applied"}
        up = migrate("up")
        assert up.stdout.startswith("applied ")
        assert statuses(migrate("status")) == {"applied"}
        assert migrate("up").stdout == "nothing to do\n"
        wanted = {"telemetry", "producer_cursor", "dead_letters"}
        assert wanted <= tables(cluster.database)

        cluster.database.run("INSERT INTO producer_cursor (producer_id, last_sequence) VALUES ('p', 1)")
        # The newer ones have nothing of their own to lose; the first one made the tables.
        for _ in up.stdout.splitlines()[1:]:
            assert migrate("down").stdout.startswith("took back ")
        assert_failure(migrate("down"), "producer_cursor holds rows")
        assert cluster.database.count("producer_cursor") == 1

        cluster.database.run("DELETE FROM producer_cursor")
        steps = 0
        while (down := migrate("down")).stdout != "nothing to take back\n":
            assert down.stdout.startswith("took back "), down.stderr
            steps += 1
            assert steps < 100
        assert steps == 1
        assert tables(cluster.database) & wanted == set()
        assert migrate("up").stdout == up.stdout


def test_migrations_of_the_embedded_database(make_espd: Callable[..., Espd], name: str):
    espd = make_espd().start()
    locked = run_espd("migrate", "down", "--data-dir", espd.data)
    assert_failure(locked, "in use by another espd")
    with open_channel(espd.target) as channel:
        stub = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        readings = make_batch(name, 1).readings
        stub.Ingest(pb.IngestRequest(readings=readings, ack_level=pb.ACK_LEVEL_COMMITTED), timeout=30)
    espd.stop()
    assert statuses(run_espd("migrate", "status", "--data-dir", espd.data)) == {"applied"}
    while (down := run_espd("migrate", "down", "--data-dir", espd.data)).returncode == 0:
        assert down.stdout.startswith("took back ")
    assert_failure(down, "telemetry holds rows")
    assert espd.postmaster_pid() is None, "a command stops the database that it started"
    espd.start()
    assert espd.database.count("telemetry", f"device_id = '{name}'") == 3
    espd.stop()
