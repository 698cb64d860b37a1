"""A grpc-interop-server of a test's own: on a free port, watched and stopped by process id."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVER = Path(os.environ.get("ESP_TEST_INTEROP_SERVER", ROOT / ".build" / "release" / "grpc-interop-server"))


class InteropServer:
    """A context: it runs within, and has ended with 0 behind it."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments

    def __enter__(self) -> InteropServer:
        self.process = subprocess.Popen([SERVER, "--port", "0", *self.arguments], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        found = re.fullmatch(r"grpc-interop-server ready: listening on 127\.0\.0\.1:(\d+)\n", ready)
        assert found, f"it said {ready!r}"
        self.port = int(found[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            code = self.process.wait(30)
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()
        assert code == 0, f"it ended with {code}"

    def memory(self, line: str) -> int:
        """Bytes; a line of /proc/PID/status: VmRSS is what is resident now, VmHWM the most that ever was."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{line}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found
        return int(found[1]) * 1024
