"""Looks into PostgreSQL past espd, by psql: what is really in the tables."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def postgres_programs() -> Path:
    """Where initdb, pg_ctl and psql are: the newest version that is installed."""
    debian = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    if debian:
        return max(debian, key=lambda folder: int(folder.parent.name))
    found = shutil.which("initdb")
    assert found, "PostgreSQL is not installed"
    return Path(found).resolve().parent


@dataclass(frozen=True)
class Database:
    """One database, reached over a socket folder or host. Both the embedded one and ours trust whoever gets there."""

    host: str
    name: str
    user: str
    port: int = 5432

    def run(self, sql: str, timeout: float = 60) -> str:
        """What psql prints for some statements; fails with what PostgreSQL says."""
        command = [postgres_programs() / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.host,
                   "-p", str(self.port), "-U", self.user, "-d", self.name, "-f", "-"]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def rows(self, select: str, timeout: float = 60) -> list[dict[str, Any]]:
        """The rows of a SELECT."""
        return json.loads(self.run(f"SELECT coalesce(json_agg(t), '[]') FROM ({select}) t", timeout))

    def value(self, select: str, timeout: float = 60) -> Any:
        """The only column of the only row of a SELECT."""
        (row,) = self.rows(select, timeout)
        (value,) = row.values()
        return value

    def count(self, table: str, where: str = "TRUE") -> int:
        return self.value(f"SELECT count(*) FROM {table} WHERE {where}")
