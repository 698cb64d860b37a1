"""scripts/install: what it says when something is missing, and that the second time costs nothing.

It runs in a temporary folder with a space in its path, with stand-ins for the commands that ask or change the system.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Installation:
    """A copy of the script with requirement files that ask for nothing; `calls` has each apt-get and sudo."""

    def __init__(self, folder: Path):
        self.folder = folder / "a folder"
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.calls.touch()
        self.bin.mkdir()
        (self.folder / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "install", self.folder / "scripts" / "install")
        for profile in ("run", "test"):
            (self.folder / "scripts" / f"requirements-{profile}.txt").write_text("# nothing\n")
        self.command("swift", 'echo "Swift version 6.3.1 (swift-6.3.1-RELEASE)"')
        self.command("dpkg-query", "echo 'ii '")
        for name in ("apt-get", "sudo"):
            self.command(name, f'echo "{name} $*" >>"{self.calls}"; exit 1')

    def fake_python(self) -> None:
        """An environment in no time, where only what comes before it is looked at."""
        self.command("python3", '[[ $2 != venv ]] || { mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; }')

    def command(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        environment = dict(os.environ, PATH=f"{self.bin}:/usr/bin:/bin")
        script = self.folder / "scripts" / "install"
        return subprocess.run([script, *arguments], env=environment, capture_output=True, text=True)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_when_all_is_there_it_makes_the_environment_once(installation: Installation):
    first = installation.run("test")
    assert first.returncode == 0, first.stderr
    assert "preparing" in first.stdout
    # Without its pip the environment is of no use to a second installation: there is none.
    (installation.folder / ".build-python" / "bin" / "python").unlink()
    for profile in ("test", "run"):
        again = installation.run(profile)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert installation.calls.read_text() == ""


def test_changed_requirements_and_a_moved_folder_prepare_it_again(installation: Installation):
    assert installation.run("run").returncode == 0
    (installation.folder / "scripts" / "requirements-run.txt").write_text("# nothing else\n")
    assert "preparing" in installation.run("run").stdout
    installation.folder = installation.folder.rename(installation.folder.parent / "moved here")
    assert "preparing" in installation.run("run").stdout
    first_lines = (installation.folder / ".build-python" / "bin" / "pip").read_text()[:200]
    assert "moved here" in first_lines


@pytest.mark.parametrize(
    "answer, message",
    [
        ('echo "Swift version 6.1.2 (swift-6.1.2-RELEASE)"', "is 6.1"),
        ('echo "Swift version 5.10 (swift-5.10-RELEASE)"', "is 5.10"),
        ("exit 127", "is the toolchain complete?"),
    ],
)
def test_an_old_or_broken_swift_is_named(installation: Installation, answer: str, message: str):
    installation.command("swift", answer)
    done = installation.run("run")
    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.parametrize("version", ["6.2", "6.10.1", "7.0"])
def test_later_swift_is_taken(installation: Installation, version: str):
    installation.fake_python()
    installation.command("swift", f'echo "Swift version {version} (swift-{version}-RELEASE)"')
    assert installation.run("run").returncode == 0


def test_missing_packages_are_listed_with_the_command_for_root(installation: Installation):
    installation.command("dpkg-query", '[[ $* == *libpq-dev* || $* == *curl* ]] || echo "ii "')
    done = installation.run("test")
    assert done.returncode == 1
    assert "apt-get update && apt-get install --yes --no-install-recommends libpq-dev curl" in done.stderr
    who = "apt-get update" if os.geteuid() == 0 else "sudo apt-get update"
    assert installation.calls.read_text().startswith(who)


def test_run_needs_fewer_packages_than_test(installation: Installation):
    installation.fake_python()
    installation.command("dpkg-query", '[[ $* == *protobuf-compiler* ]] || echo "ii "')
    assert installation.run("run").returncode == 0
    assert installation.run("test").returncode == 1


def test_the_client_is_generated_and_installed_again_when_a_proto_changes(installation: Installation):
    client = installation.folder / "clients" / "python"
    (client / "src" / "espclient").mkdir(parents=True)
    for name in ("pyproject.toml", "requirements.txt"):
        (client / name).write_text("# nothing\n")
    (client / "generate.sh").write_text('#!/bin/bash\nmkdir -p "${0%/*}/src/espclient/_generated"\n')
    (client / "generate.sh").chmod(0o755)
    proto = installation.folder / "proto" / "esp" / "v1" / "a.proto"
    proto.parent.mkdir(parents=True)
    proto.write_text("// one\n")
    log = installation.folder.parent / "pip"
    installation.command("python3", f"""
        [[ $2 != venv ]] || {{ mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; }}
        [[ $2 != pip ]] || echo "$*" >>"{log}"
    """)
    assert installation.run("run").returncode == 0
    assert "--editable clients/python" in log.read_text()
    assert "-r clients/python/requirements.txt" in log.read_text()
    assert installation.run("run").stdout == ""
    proto.write_text("// two\n")
    assert "preparing" in installation.run("run").stdout
    shutil.rmtree(client / "src" / "espclient" / "_generated")
    assert "preparing" in installation.run("run").stdout
    assert (client / "src" / "espclient" / "_generated").is_dir()


def test_an_unknown_profile_is_an_error(installation: Installation):
    assert "usage" in installation.run("everything").stderr
