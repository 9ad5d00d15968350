"""``callguard folder``."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import CommandLine
from tests.retention.folders.conftest import WRITTEN, put

LONG_AGO = WRITTEN.replace(year=WRITTEN.year - 3)


@pytest.fixture
def managed(acme: CommandLine) -> Path:
    """A folder of acme's faxes, one of them long due, and one of nobody's."""
    base = acme.folder / "managed"
    (base / "fax").mkdir(parents=True)
    text = "".join(
        f'[[folders]]\nname = "{name}"\npath = "{base / name}"\ndata_class = "fax"\n'
        f'tenant = "acme"\nquiet_s = 0\n'
        for name in ("fax", "gone")
    )
    acme.config.write_text(acme.config.read_text() + "\n" + text)
    put(base / "fax" / "old.tif", b"12345", LONG_AGO)
    put(base / "fax" / "new.tif")
    return base


def rows(acme: CommandLine, *arguments: str) -> list[dict[str, Any]]:
    found = acme("folder", *arguments, "--json").json()
    assert isinstance(found, list)
    return found


def test_folders_are_listed_with_what_is_wrong(acme: CommandLine, managed: Path) -> None:
    fax, gone = rows(acme, "list")
    assert (fax["folder"], fax["tenants"], fax["state"]) == ("fax", "acme", "ok")
    assert gone["state"] == f"{managed / 'gone'} is not there"
    assert "Folders" in acme("folder", "list").out


def test_what_is_due_is_counted_and_nothing_taken(acme: CommandLine, managed: Path) -> None:
    (row,) = rows(acme, "due", "--folder", "fax")
    assert (row["folder"], row["tenant"], row["count"], row["bytes"]) == ("fax", "acme", 1, 5)
    assert (managed / "fax" / "old.tif").exists()


def test_a_check_says_what_is_in_the_way_and_fails(acme: CommandLine, managed: Path) -> None:
    (row,) = rows(acme, "check", "--folder", "fax")
    assert (row["files"], row["due"], row["held"], row["faults"]) == (2, 1, 0, [])
    (managed / "fax" / "two\nlines\x1b[2J").symlink_to("/etc/passwd")
    said = acme("folder", "check")
    assert said.code == 1
    assert said.err == "callguard: something is in the way in: fax, gone\n"
    assert "\x1b" not in said.out
    answer = acme("folder", "check", "--folder", "fax", "--json")
    assert answer.code == 1
    assert "two\\\\nlines\\\\x1b[2J: it is a link, and stays" in answer.out


def test_a_folder_that_is_not_there_is_one_line(acme: CommandLine, managed: Path) -> None:
    acme("folder", "due", "--folder", "nowhere").refused("there is no folder nowhere")


def test_without_folders_there_is_nothing(acme: CommandLine) -> None:
    assert rows(acme, "list") == rows(acme, "check") == rows(acme, "due") == []
