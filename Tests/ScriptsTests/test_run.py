"""scripts/run on a terminal: Ctrl-C stops the fleet first, then the server, and nothing stays behind.

The script runs in a temporary folder, with a space in its path, where small stand-ins take the places of espd and
espfleet: they write what happens to them into one file, in order.
"""

import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Told by its name who it is; as espd it opens the port after a moment, as the real one does when it is ready.
STAND_IN = '''#!{python}
import os, signal, socket, sys, time
name = os.path.basename(sys.argv[0])
def note(text):
    with open({log!r}, "a") as log:
        log.write(name + " " + text + "\\n")
def end(number, frame):
    note("got " + signal.Signals(number).name)
    time.sleep({stop_seconds})
    note("ends")
    sys.exit(int(os.environ.get("END_CODE", "0")))
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    note("was started deaf to SIGINT")
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
note("starts " + str(os.getpid()) + " " + " ".join(sys.argv[1:]))
if name == "espd":
    if "EXIT_AT_ONCE" in os.environ:
        sys.exit(int(os.environ["EXIT_AT_ONCE"]))
    time.sleep(0.2)
    host, port = os.environ["ESP_LISTEN"].rsplit(":", 1)
    server = socket.create_server((host, int(port)))
elif "FLEET_EXIT" in os.environ:
    sys.exit(int(os.environ["FLEET_EXIT"]))
while True:
    time.sleep(60)
'''


class Run:
    """scripts/run as the foreground process of a terminal of its own."""

    def __init__(self, folder: Path, *arguments: str, fleet: bool = True, stop_seconds: float = 0.3, **settings: str):
        self.log = folder / "log"
        self.log.touch()
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "run", folder / "scripts" / "run")
        names = [".build/release/espd"] + ([".build-python/bin/espfleet"] if fleet else [])
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True)
            # Not sys.executable: a "#!" line holds no space.
            path.write_text(STAND_IN.format(python="/usr/bin/python3", log=str(self.log), stop_seconds=stop_seconds))
            path.chmod(0o755)
        self.port = free_port()
        environment = dict(os.environ, ESP_LISTEN=f"127.0.0.1:{self.port}", **settings)
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve("scripts/run", ["scripts/run", *arguments], environment)

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def await_line(self, start: str) -> str:
        return await_value(lambda: next((line for line in self.lines() if line.startswith(start)), None), start)

    def press_ctrl_c(self) -> None:
        os.write(self.terminal, b"\x03")

    def end(self) -> int:
        """Waits for the script; its exit code, negative after a signal."""
        _, status = os.waitpid(self.pid, 0)
        self.output = read_available(self.terminal)
        return os.waitstatus_to_exitcode(status)

    def started(self) -> list[int]:
        return [int(line.split()[2]) for line in self.lines() if " starts " in line]

    def events(self) -> list[str]:
        return [" ".join(line.split()[:2]) if " starts " in line else line for line in self.lines()]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def await_value(read, what: str):
    for _ in range(600):
        if value := read():
            return value
        time.sleep(0.05)
    raise AssertionError(f"nothing after 30 s: {what}")


def read_available(terminal: int) -> str:
    """What was written so far: a program that should have ended, and has not, must not make the test wait."""
    text = b""
    while select.select([terminal], [], [], 0)[0]:
        try:
            text += os.read(terminal, 4096)
        except OSError:  # Linux: all programs on the terminal have ended
            break
    return text.decode()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.fixture
def folder(tmp_path: Path):
    path = tmp_path / "a folder"
    path.mkdir()
    yield path
    # After a failure: the stand-ins, which alone write into this log.
    for line in (path / "log").read_text().splitlines() if (path / "log").exists() else []:
        pid = int(line.split()[2]) if " starts " in line else None
        if pid and is_alive(pid):
            os.kill(pid, signal.SIGKILL)


ORDERLY = ["espd starts", "espfleet starts", "espfleet got SIGTERM", "espfleet ends", "espd got SIGTERM", "espd ends"]


def test_ctrl_c_stops_the_fleet_first_and_then_the_server(folder: Path):
    run = Run(folder, "--some-flag", "a b")
    run.await_line("espfleet starts")
    run.press_ctrl_c()
    assert run.end() == 0
    assert run.events() == ORDERLY
    assert run.lines()[0].endswith("serve --some-flag a b")
    assert f"--target 127.0.0.1:{run.port}" in run.lines()[1]
    assert "QueryReadings" in run.output
    assert not any(is_alive(pid) for pid in run.started())


def test_impatience_changes_nothing(folder: Path):
    run = Run(folder, stop_seconds=1)
    run.await_line("espfleet starts")
    run.press_ctrl_c()
    run.await_line("espfleet got")
    run.press_ctrl_c()
    os.kill(run.pid, signal.SIGTERM)
    run.await_line("espd got")
    run.press_ctrl_c()
    assert run.end() == 0
    assert run.events() == ORDERLY


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_do_the_same(folder: Path, number: signal.Signals):
    run = Run(folder)
    run.await_line("espfleet starts")
    os.kill(run.pid, number)
    assert run.end() == 0
    assert run.events() == ORDERLY


def test_ctrl_c_before_the_server_is_ready(folder: Path):
    run = Run(folder)
    run.await_line("espd starts")
    run.press_ctrl_c()
    assert run.end() == 0
    assert run.events() in (["espd starts", "espd got SIGTERM", "espd ends"], ORDERLY)


def test_a_server_that_fails_at_start_gives_its_code(folder: Path):
    run = Run(folder, EXIT_AT_ONCE="7")
    assert run.end() == 7
    assert run.events() == ["espd starts"]
    assert "espd has ended with code 7" in run.output


def test_a_server_that_dies_takes_the_fleet_along(folder: Path):
    run = Run(folder)
    run.await_line("espfleet starts")
    os.kill(run.started()[0], signal.SIGKILL)
    assert run.end() == 137
    assert run.events()[-1] == "espfleet ends"


def test_a_server_that_fails_while_stopping_is_not_hidden(folder: Path):
    run = Run(folder, END_CODE="3")
    run.await_line("espfleet starts")
    run.press_ctrl_c()
    assert run.end() == 3


def test_the_server_outlives_the_fleet(folder: Path):
    run = Run(folder, FLEET_EXIT="1")
    run.await_line("espfleet starts")
    await_value(lambda: not is_alive(run.started()[1]), "the fleet has ended")
    assert is_alive(run.started()[0])
    run.press_ctrl_c()
    assert run.end() == 0


def test_without_a_fleet_the_server_runs_alone(folder: Path):
    run = Run(folder, fleet=False)
    await_value(lambda: can_connect(run.port), "the port is open")
    run.press_ctrl_c()
    assert run.end() == 0
    assert run.events() == ["espd starts", "espd got SIGTERM", "espd ends"]


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_a_script_that_is_killed_leaves_nothing_behind(folder: Path):
    run = Run(folder)
    run.await_line("espfleet starts")
    os.kill(run.pid, signal.SIGKILL)
    assert run.end() == -signal.SIGKILL
    await_value(lambda: not any(is_alive(pid) for pid in run.started()), "both have ended")


def test_a_taken_port_is_named_before_anything_starts(folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        run = Run(folder, "--listen", f"127.0.0.1:{other.getsockname()[1]}")
        assert run.end() == 1
    assert "something already listens" in run.output
    assert run.lines() == []


def test_without_a_build_it_says_what_to_do(folder: Path):
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "run", folder / "scripts" / "run")
    done = subprocess.run([folder / "scripts" / "run"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "make build" in done.stderr
