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
CLIENTS = {"cpp": ("cpp/interop_client", 23), "go": ("go_client", 15), "python": ("venv/bin/python", 13)}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", CLIENTS)
def test_every_case_of_the_official_client_passes(language: str):
    binary, count = CLIENTS[language]
    if not SCRIPT:
        pytest.skip("INTEROP_SH does not name the script that runs the official clients")
    if not (BUILDS / binary).exists():
        pytest.skip(f"the official client {language} is not built: {SCRIPT} build {language}")
    assert SERVER.exists(), f"{SERVER} is not there: run make build"
    with InteropServer() as server:
        done = subprocess.run([SCRIPT, "run", language, "127.0.0.1", str(server.port)], stdout=subprocess.PIPE,
                              text=True, check=False)
    print(done.stdout)
    assert done.stdout.count(f"PASS {language} ") == count, done.stdout
    assert f"{count} passed, 0 failed" in done.stdout
