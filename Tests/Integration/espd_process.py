"""A real espd: started on a free port and a folder of its own, watched, broken and stopped by process id."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from database import Database

ROOT = Path(__file__).resolve().parents[2]
ESPD = Path(os.environ.get("ESP_TEST_ESPD", ROOT / ".build" / "release" / "espd"))

READY_TIMEOUT = 90.0
"""Seconds until a server on a busy machine has made its database and is ready."""
STOP_TIMEOUT = 60.0
"""Seconds until a server that was asked to end is gone."""


def wait_for(condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
    """Waits until something becomes true; fails saying what did not."""
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, f"not within {timeout} s: {what}"
        time.sleep(0.01)


def free_port() -> int:
    """A port that nobody has, below those that the kernel gives to clients: a client that keeps trying a port of
    theirs can end up connected to itself, and then the server can't have it back.
    """
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def make_folder(prefix: str = "esp integration ") -> Path:
    """A new folder that user postgres can get into (pytest's own can't be entered), with a space in its name."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)
    return folder


def is_alive(process_id: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def processes_in(folder: Path) -> list[int]:
    """Those whose working directory it is: every process of a PostgreSQL server on that data."""
    found, wanted = [], str(folder.resolve())
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd") == wanted:
                found.append(int(entry))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without any ESP_ variable, and with `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ESP_")}
    return kept | dict(settings)


def run_espd(*arguments: str | Path, timeout: float = 60, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of espd to its end, which must come, in a folder of its own: the default data folder is ./data."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([ESPD, *arguments], env=environment(settings), capture_output=True, text=True,
                              timeout=timeout, check=False, stdin=subprocess.DEVNULL, cwd=folder)


class Espd:
    """One server. `start` again after `kill` or `stop`: same port, same data."""

    def __init__(self, data: Path | None = None, *arguments: str, **settings: str) -> None:
        self.folder = make_folder()
        self.data = data or self.folder / "data"
        self.log = self.folder / "espd.log"
        self.arguments = arguments
        self.settings = settings
        self.host = "127.0.0.1"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.fiu_folder: Path | None = None

    @property
    def target(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def tls_target(self) -> str | None:
        return self.settings.get("ESP_TLS_LISTEN")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    # Starting and ending.

    def start(self) -> Espd:
        """Starts it and waits for the line that says that it is ready."""
        self.launch()
        self.await_ready()
        return self

    def start_under_fiu(self) -> Callable[[str], None]:
        """Starts it with libfiu's faults at hand; returns what switches them, by commands of fiu-ctrl(1)."""
        # Its scripts take no path with a space.
        self.fiu_folder = make_folder("esp-fiu-")
        control = str(self.fiu_folder / "fiu")
        self.launch(["fiu-run", "-x", "-f", control])
        self.await_ready()

        def switch(command: str) -> None:
            subprocess.run(["fiu-ctrl", "-f", control, "-c", command, str(self.pid)], check=True, timeout=20)

        return switch

    def launch(self, under: Sequence[str] = ()) -> None:
        command = [*under, ESPD, "serve", "--listen", self.target, "--data-dir", self.data, *self.arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment(self.settings), stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=log)

    def await_ready(self, timeout: float = READY_TIMEOUT) -> None:
        assert self.process is not None and self.process.stdout is not None
        output, until = b"", time.monotonic() + timeout
        while b"\n" not in output:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))
            assert ready, f"espd is not ready after {timeout} s:\n{self.log_tail()}"
            piece = os.read(self.process.stdout.fileno(), 4096)
            assert piece, f"espd ended with {self.process.wait(10)} before it was ready:\n{self.log_tail()}"
            output += piece
        tls = f" and TLS on {self.tls_target}" if self.tls_target else ""
        assert output.decode() == f"espd ready: listening on {self.target}{tls}\n"

    def terminate(self) -> None:
        """SIGTERM; returns at once."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """The exit code, which must come."""
        assert self.process is not None
        code = self.process.wait(timeout)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def stop(self) -> None:
        """SIGTERM, and all went well: exit code 0, and the database is gone too."""
        postmaster = self.postmaster_pid()
        self.terminate()
        code = self.wait()
        assert code == 0, f"espd ended with {code}:\n{self.log_tail()}"
        assert postmaster is None or not is_alive(postmaster), "the embedded database outlived espd"

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        assert self.process is not None
        self.process.kill()
        self.wait()

    def remove(self) -> None:
        """Ends whatever still runs and removes all files, whatever state they are in."""
        postmaster = self.postmaster_pid()
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.wait()
        if postmaster is not None:
            # The database is told to end by the end of espd; a test that failed does not wait for it.
            end_process(postmaster)
        relocated = self.data / "postgres"
        if relocated.is_symlink():
            shutil.rmtree(relocated.resolve(), ignore_errors=True)
        if not self.data.is_relative_to(self.folder):
            shutil.rmtree(self.data, ignore_errors=True)
        if self.fiu_folder is not None:
            shutil.rmtree(self.fiu_folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # Looking at it.

    def log_tail(self, size: int = 4000) -> str:
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    def postmaster_pid(self) -> int | None:
        """The process of the embedded database; None when there is none."""
        try:
            pid = int((self.data / "postgres" / "data" / "postmaster.pid").read_text().split("\n")[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if is_alive(pid) else None

    @property
    def socket_directory(self) -> Path:
        far = self.data / "postgres" / "socket-directory"
        return Path(far.read_text()) if far.exists() else self.data / "postgres" / "socket"

    @property
    def database(self) -> Database:
        """The tables of the embedded database."""
        return Database(str(self.socket_directory), "alkhorayef_db", "alkhorayef_user")

    @property
    def file_count(self) -> int:
        """Files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def end_process(process_id: int) -> None:
    """A last resort: SIGQUIT to a postmaster takes its children along; SIGKILL when even that does not help."""
    for number, patience in ((signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
        until = time.monotonic() + patience
        try:
            os.kill(process_id, number)
        except ProcessLookupError:
            return
        while is_alive(process_id) and time.monotonic() < until:
            time.sleep(0.02)
        if not is_alive(process_id):
            return
