"""An espd of the benchmark's own: started on a free port with an empty database, stopped at the end."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    address: str
    pid: int
    data: Path

    @property
    def conninfo(self) -> str:
        """The embedded database, as its superuser."""
        pid_file = (self.data / "postgres/data/postmaster.pid").read_text().splitlines()
        return f"host={pid_file[4]} port={pid_file[3]} dbname=alkhorayef_db user=postgres"

    @property
    def postmaster(self) -> int:
        return int((self.data / "postgres/data/postmaster.pid").read_text().split("\n", 1)[0])


@contextlib.contextmanager
def running(*arguments: str, pin: str | None = None) -> Iterator[Server]:
    """Starts espd; `pin` names the cores it may use, as for taskset."""
    data = Path(tempfile.mkdtemp(prefix="esp-bench-"))
    data.chmod(0o755)
    command = [str(ROOT / ".build/release/espd"), "serve", "--listen", "127.0.0.1:0", "--data-dir", str(data)]
    if pin:
        command = ["taskset", "-c", pin, *command]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = re.search(r"listening on (\S+)", process.stdout.readline())
        if ready is None:
            raise SystemExit("espd did not start; see its log above")
        yield Server(ready[1], process.pid, data)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        shutil.rmtree(data)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pid: int, *, with_children: bool = False) -> float:
    """User and system CPU of a process; with its children, living and reaped, when asked."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = sum(map(int, fields[11:13]))
    if with_children:
        ticks += sum(map(int, fields[13:15]))
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                with contextlib.suppress(OSError):
                    ticks += round(cpu_seconds(int(child), with_children=True) * TICKS)
    return ticks / TICKS


def pin_database(server: Server, core: str) -> None:
    """Puts the embedded PostgreSQL on a core of its own, so that only espd is on the measured one."""
    for pid in Path(f"/proc/{server.postmaster}/task/{server.postmaster}/children").read_text().split():
        subprocess.run(["taskset", "-acp", core, pid], check=False, stdout=subprocess.DEVNULL)
    subprocess.run(["taskset", "-acp", core, str(server.postmaster)], check=True, stdout=subprocess.DEVNULL)
