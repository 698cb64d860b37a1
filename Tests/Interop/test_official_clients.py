"""The gRPC project's own interop clients of three languages against our server: each of their cases has to pass.

The clients are not part of this tree. INTEROP_SH names the script that runs them (`run cpp|go|python HOST PORT`), with
one line PASS or FAIL for each case; INTEROP the folder of their builds.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from interop_server import SERVER, InteropServer

SCRIPT = os.environ.get("INTEROP_SH")
BUILDS = Path(os.environ.get("INTEROP", Path.home() / ".cache" / "esp-interop"))
TEST_CREDENTIALS = BUILDS / "grpcpp" / "src" / "core" / "tsi" / "test_creds"
"""The certificates that all gRPC projects test with; two of the clients trust no others."""
CLIENTS = {"cpp": ("cpp/interop_client", 23), "go": ("go_client", 15), "python": ("venv/bin/python", 13)}


TLS_FLAGS = {
    # The second type of credentials is for pick_first_unary, which does not look at --use_tls.
    "cpp": ("--use_test_ca=true", "--custom_credentials_type=ssl"),
    "go": ("--use_test_ca=true", f"--ca_file={TEST_CREDENTIALS / 'ca.pem'}"),
    "python": (),
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", CLIENTS)
def test_every_case_of_the_official_client_passes(language: str):
    run_all_cases(language)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", CLIENTS)
def test_every_case_passes_over_tls(language: str):
    run_all_cases(language, "--use_tls=true", "--server_host_override=foo.test.google.fr", *TLS_FLAGS[language],
                  server=("--tls-cert", str(TEST_CREDENTIALS / "server1.pem"),
                          "--tls-key", str(TEST_CREDENTIALS / "server1.key")))


def run_all_cases(language: str, *flags: str, server: tuple[str, ...] = ()) -> None:
    binary, count = CLIENTS[language]
    if not SCRIPT:
        pytest.skip("INTEROP_SH does not name the script that runs the official clients")
    if not (BUILDS / binary).exists():
        pytest.skip(f"the official client {language} is not built: {SCRIPT} build {language}")
    assert SERVER.exists(), f"{SERVER} is not there: run make build"
    # Python's client takes its roots from here.
    environment = os.environ | {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(TEST_CREDENTIALS / "ca.pem")}
    with InteropServer(*server) as running:
        done = subprocess.run([SCRIPT, "run", language, "127.0.0.1", str(running.port), *flags], env=environment,
                              stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout)
    assert done.stdout.count(f"PASS {language} ") == count, done.stdout
    assert f"{count} passed, 0 failed" in done.stdout
