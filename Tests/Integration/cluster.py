"""A PostgreSQL server of the tests' own: the external database that somebody else runs."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from database import Database, postgres_programs
from espd_process import end_process, environment, free_port, make_folder, processes_in, wait_for

PASSWORD = "s3cret-of-the-test"


class Cluster:
    """Listens on a port of 127.0.0.1 with passwords; its socket trusts, for looking into it."""

    def __init__(self) -> None:
        self.folder = make_folder("esp cluster ")
        self.port = free_port()
        self.data = self.folder / "data"
        # PostgreSQL refuses root. A program that changes the user, not subprocess: that one would fork, and gRPC's
        # handlers of forks can abort the child.
        self._account = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] * (os.geteuid() == 0)
        if self._account:
            os.chown(self.folder, pwd.getpwnam("postgres").pw_uid, -1)
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--locale=C", "--encoding=UTF8", "-N")
        (self.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        self.start()
        admin = Database(str(self.folder), "postgres", "postgres", self.port)
        admin.run(f"CREATE ROLE esp LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE telemetry OWNER esp;")

    @property
    def url(self) -> str:
        return f"postgres://esp:{PASSWORD}@127.0.0.1:{self.port}/telemetry"

    @property
    def database(self) -> Database:
        return Database(str(self.folder), "telemetry", "esp", self.port)

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories='\"{self.folder}\"'" \
            " -c fsync=on -c max_connections=30"
        self._run("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-o", options, "-w", "-t", "60", "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "60", "stop")

    def kill(self) -> None:
        """SIGKILL to the postmaster; returns when its children have seen it, without which it can't start again."""
        postmaster = int((self.data / "postmaster.pid").read_text().split("\n")[0])
        os.kill(postmaster, signal.SIGKILL)
        wait_for(self._have_ended, "the server's processes end")
        # Even a zombie keeps a new server from taking its lock file over.
        wait_for(lambda: not Path(f"/proc/{postmaster}").exists(), "the dead server is forgotten")

    def _have_ended(self) -> bool:
        """Tells the rest to end; a backend that was just being started is found the next time."""
        left = processes_in(self.data)
        for process in left:
            try:
                os.kill(process, signal.SIGQUIT)
            except ProcessLookupError:
                continue
        return not left

    def remove(self) -> None:
        file = self.data / "postmaster.pid"
        if file.exists():
            end_process(int(file.read_text().split("\n")[0]))
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _run(self, program: str, *arguments: object) -> None:
        # Not pipes: the server would inherit them and keep them open.
        with (self.folder / "commands").open("ab") as output:
            command = [*self._account, postgres_programs() / program, *map(str, arguments)]
            done = subprocess.run(command, env=environment({}), cwd="/", stdin=subprocess.DEVNULL, stdout=output,
                                  stderr=output, timeout=120, check=False)
        assert done.returncode == 0, "".join(
            (self.folder / name).read_text(errors="replace")[-2000:]
            for name in ("commands", "log") if (self.folder / name).exists())
