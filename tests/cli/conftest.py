"""The command line, run in this process: what it says, on which stream, with which exit code."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer

from callguard.cli import build, main
from callguard.consent.prompts import RATE
from tests.schema import upgrade


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> object:
        """The answer of a command that was asked for JSON: one line, and nothing beside it."""
        assert (self.code, self.err) == (0, "")
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    def refused(self, reason: str) -> None:
        """It failed, with one clear line and nothing else."""
        assert self.code == 1
        assert self.err.startswith("callguard: ")
        assert self.err.count("\n") == 1
        assert reason in self.err
        assert "Traceback" not in self.err
        assert self.out == ""


@dataclass
class CommandLine:
    """``callguard`` with a settings file of its own."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    @property
    def config(self) -> Path:
        return self.folder / "etc" / "callguard.toml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def __call__(self, *arguments: str) -> Said:
        self.capture.readouterr()
        self.patch.setattr(sys, "argv", ["callguard", *arguments])
        self.patch.setattr("callguard.cli.build", lambda _: _built())
        self.patch.setenv("CALLGUARD_CONFIG", str(self.config))
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        out, err = self.capture.readouterr()
        return Said(code, out, err)

    def init(self) -> "CommandLine":
        self.patch.setattr("callguard.cli.init.upgrade", upgrade)
        said = self("init", "--data", str(self.data), "--no-prompts")
        assert (said.code, said.err) == (0, "")
        return self


@cache
def _built() -> Callable[[], object]:
    """The commands, which would else be built anew for each: half the time that one takes."""
    return typer.main.get_command(build())


@pytest.fixture
def blank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """Nothing is there yet."""
    return CommandLine(tmp_path, capsys, monkeypatch)


@pytest.fixture
def callguard(blank: CommandLine) -> CommandLine:
    """After ``callguard init``, without prompts."""
    return blank.init()


@pytest.fixture
def acme(callguard: CommandLine) -> CommandLine:
    """With a tenant of its own X25519 key."""
    assert callguard("tenant", "add", "acme", "--key", "x25519").code == 0
    return callguard


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Puts an espeak-ng and a sox on the PATH that give the same second of silence."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def install() -> None:
        (folder / "silence.raw").write_bytes(bytes(4 * RATE))
        for name in ("espeak-ng", "sox"):
            (folder / name).write_text(f"#!/bin/sh\nexec /bin/cat {folder}/silence.raw\n")
            (folder / name).chmod(0o755)

    monkeypatch.setenv("PATH", str(folder))
    return install
