"""A real browser, headless Chromium, calls a real espd by gRPC-Web from pages of listed and of other origins."""

from __future__ import annotations

import base64
import http.server
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2
from selenium import webdriver

from espclient.protocol import telemetry_pb2 as pb

from certificates import Certificates
from espd_process import Espd, free_port, make_folder, wait_for
from grpc_web import BINARY, TEXT, WebAnswer
from ingest_stream import make_batch
from wire import CHECK, INGEST, INGEST_READING, frame

QUERY = "/esp.v1.TelemetryService/QueryReadings"
EXPORT = "/esp.v1.TelemetryService/ExportReadings"
WATCH = "/grpc.health.v1.Health/Watch"
PAGE = Path(__file__).with_name("browser_page.html")


class PageHandler(http.server.BaseHTTPRequestHandler):
    """Serves the one page at every path."""

    def do_GET(self) -> None:
        body = PAGE.read_bytes()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def page_port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), PageHandler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def origin(page_port: int) -> str:
    return f"http://127.0.0.1:{page_port}"


@pytest.fixture(scope="module")
def server(origin: str) -> Iterator[tuple[Espd, dict[str, str]]]:
    """An espd that lists `origin`, and its addresses by the version of HTTP that the browser chooses there."""
    folder = make_folder()
    certificates = Certificates(folder / "tls")
    port = free_port()
    espd = Espd(None, ESP_CORS_ORIGINS=origin, **certificates.settings(f"127.0.0.1:{port}"))
    try:
        espd.start()
        yield espd, {"http/1.1": f"http://{espd.target}", "h2": f"https://127.0.0.1:{port}"}
        espd.stop()
    finally:
        espd.remove()
        shutil.rmtree(folder)


class Browser:
    """One Chromium with the page in it."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        options.accept_insecure_certs = True
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        for argument in ("headless=new", f"user-data-dir={profile}", "no-first-run", "disable-gpu", "no-proxy-server",
                         "disable-dev-shm-usage", "disable-background-networking", "disable-component-update",
                         "disable-sync", "disable-extensions"):
            options.add_argument(f"--{argument}")
        # Its sandbox does not run as root.
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        self.driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        self.driver.set_script_timeout(60)

    def call(self, page: str, url: str, message: bytes, content_type: str, **request: object) -> dict[str, object]:
        """What fetch() made of a call by a page; each message comes in its frame."""
        self.driver.get(page)
        request |= {"url": url, "type": content_type, "body": base64.b64encode(frame(message)).decode()}
        return self.driver.execute_async_script("report(arguments[0], arguments[1])", request)

    def versions(self, url: str) -> set[str]:
        """By which HTTP answers came from a server."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        responses = [event["params"]["response"] for event in events if event["method"] == "Network.responseReceived"]
        return {response["protocol"] for response in responses if response["url"].startswith(url)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    folder = make_folder()
    browser = Browser(folder / "profile")
    yield browser
    browser.driver.quit()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def call(browser: Browser, origin: str) -> Callable[..., WebAnswer]:
    """Calls by a page of the listed origin."""
    def call(url: str, message: bytes, content_type: str) -> WebAnswer:
        got = browser.call(f"{origin}/page", url, message, content_type)
        assert "error" not in got, got
        return WebAnswer.parse(got["status"], got["headers"], base64.b64decode(got["body"]), content_type)

    return call


@pytest.mark.parametrize("version", ["http/1.1", "h2"])
@pytest.mark.parametrize("content_type", [BINARY, TEXT])
def test_a_listed_page_stores_queries_and_exports(server: tuple[Espd, dict[str, str]], browser: Browser,
                                                  call: Callable[..., WebAnswer], name: str, content_type: str,
                                                  version: str):
    espd, urls = server
    url = urls[version]
    browser.versions(url)
    (reading,) = make_batch(name, 1, 1).readings
    stored = call(url + INGEST_READING, pb.IngestReadingRequest(reading=reading).SerializeToString(), content_type)
    assert pb.IngestReadingResponse.FromString(stored.messages[0]).result.stored == 1
    wait_for(lambda: espd.database.count("telemetry", f"device_id = '{name}'") == 1, "the reading is in the table")

    query = pb.QueryReadingsRequest(device_id=[name])
    query.start_time.FromSeconds(int(time.time()) - 2 * 86_400)
    found = call(url + QUERY, query.SerializeToString(), content_type)
    (one,) = pb.QueryReadingsResponse.FromString(found.messages[0]).readings
    assert (one.reading.device_id, one.reading.timestamp) == (name, reading.timestamp)

    # More than any buffer between the two holds.
    many = pb.IngestRequest(readings=make_batch(name, 2, 20_000).readings, ack_level=pb.ACK_LEVEL_COMMITTED)
    call(url + INGEST, many.SerializeToString(), content_type)
    export = pb.ExportReadingsRequest(device_id=[name])
    export.start_time.FromSeconds(0)
    exported = call(url + EXPORT, export.SerializeToString(), content_type)
    assert (exported.code, len(exported.messages)) == (0, 20_001)
    assert browser.versions(url) == {version}


@pytest.mark.parametrize("version", ["http/1.1", "h2"])
def test_a_listed_page_reads_errors(server: tuple[Espd, dict[str, str]], call: Callable[..., WebAnswer], version: str):
    url = server[1][version]
    refused = call(url + QUERY, pb.QueryReadingsRequest(page_token="none of ours").SerializeToString(), BINARY)
    assert refused.code == 3
    assert refused.status.details
    assert call(url + "/esp.v1.TelemetryService/Nothing", b"", TEXT).code == 12


@pytest.mark.parametrize("version", ["http/1.1", "h2"])
@pytest.mark.parametrize("content_type", [BINARY, TEXT])
def test_a_stream_is_read_while_it_goes_on_and_left(server: tuple[Espd, dict[str, str]], browser: Browser, origin: str,
                                                    content_type: str, version: str):
    """Watch has no end: its first message is there before any, and a page that leaves ends it."""
    espd, urls = server
    first = frame(health_pb2.HealthCheckResponse(status=1).SerializeToString())
    wanted = len(first if content_type == BINARY else base64.b64encode(first))
    got = browser.call(f"{origin}/page", urls[version] + WATCH, b"", content_type, wanted=wanted)
    assert "error" not in got, got
    body = base64.b64decode(got["body"])
    assert (body if content_type == BINARY else base64.b64decode(body)) == first
    assert espd.process is not None and espd.process.poll() is None


def test_a_deadline_of_the_page_holds(server: tuple[Espd, dict[str, str]], browser: Browser, origin: str):
    got = browser.call(f"{origin}/page", server[1]["http/1.1"] + WATCH, b"", BINARY, headers={"grpc-timeout": "300m"})
    answer = WebAnswer.parse(got["status"], got["headers"], base64.b64decode(got["body"]), BINARY)
    assert (answer.code, len(answer.messages)) == (4, 1)


@pytest.mark.parametrize("version", ["http/1.1", "h2"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_page_of_another_origin_can_not_call(server: tuple[Espd, dict[str, str]], browser: Browser, name: str,
                                               page_port: int, host: str, version: str):
    """Another name of the same server, and the same name on another port."""
    espd, urls = server
    (reading,) = make_batch(name, 1, 1).readings
    request = pb.IngestReadingRequest(reading=reading).SerializeToString()
    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), PageHandler) if host == "127.0.0.1" else None
    if other:
        threading.Thread(target=other.serve_forever).start()
    try:
        page = f"http://{host}:{other.server_port if other else page_port}/page"
        for path, message in ((CHECK, b""), (INGEST_READING, request)):
            for content_type in (BINARY, TEXT):
                got = browser.call(page, urls[version] + path, message, content_type)
                assert got.get("error") == "TypeError", got
    finally:
        if other:
            other.shutdown()
            other.server_close()
    # The preflight was refused: the call was never made.
    assert espd.database.count("telemetry", f"device_id = '{name}'") == 0


def test_a_page_that_was_left_leaves_nothing_open(server: tuple[Espd, dict[str, str]], browser: Browser, origin: str):
    espd, urls = server
    page = f"{origin}/page"
    before = espd.file_count
    for _ in range(5):
        browser.driver.get(page)
        browser.driver.execute_script(
            "fetch(arguments[0], {method: 'POST', headers: {'content-type': arguments[1]}, body: new Uint8Array(5)})"
            ".then(() => { window.isOpen = true })", urls["http/1.1"] + WATCH, BINARY)
        wait_for(lambda: browser.driver.execute_script("return window.isOpen"), "the stream is open")
    browser.driver.get("about:blank")
    # What the browser keeps for later are idle connections: not one a stream.
    wait_for(lambda: espd.file_count <= before + 2, "the streams are gone")
