"""``callguard delivery``: places, probes, and where a recording went."""

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from callguard.storage.database import Database
from callguard.storage.schema import audit, deliveries
from tests.cli.conftest import CommandLine

TOKEN = "hunter2-the-token"


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A place on this machine that confirms what it gets; ``/deaf`` does not."""
    got: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got[self.path] = body
            told = f'{{"sha256": "{hashlib.sha256(body).hexdigest()}"}}'
            answer = b"" if self.path.startswith("/deaf") else told.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}", got
    listening.shutdown()
    thread.join()
    listening.server_close()


def token(callguard: CommandLine) -> Path:
    path = callguard.folder / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path


def add(callguard: CommandLine, url: str, *more: str, name: str = "theirs") -> None:
    pairs = ("--set", f"url={url}", "--set", f"secret_file={token(callguard)}")
    said = callguard("delivery", "add", "acme", name, "--kind", "https", *pairs, *more)
    assert (said.code, said.err) == (0, "")


def opened(callguard: CommandLine) -> Database:
    return Database(f"sqlite:///{callguard.data / 'callguard.db'}")


def actions(callguard: CommandLine) -> list[str]:
    database = opened(callguard)
    with database.reading() as connection:
        found = list(connection.execute(select(audit.c.action)).scalars())
    database.close()
    return found


def rows(callguard: CommandLine, *command: str) -> list[dict[str, Any]]:
    found = callguard("delivery", *command, "--json").json()
    assert isinstance(found, list)
    return found


def row(callguard: CommandLine, recording: str, state: str) -> None:
    at = datetime.now(UTC)
    database = opened(callguard)
    with database.writing() as connection:
        connection.execute(
            insert(deliveries).values(
                recording_id=recording,
                place="theirs",
                tenant_id="acme",
                state=state,
                attempts=3,
                next_at=at,
                begun_at=at,
                reason="it is down",
            )
        )
        connection.exec_driver_sql(
            "INSERT INTO recordings (id, tenant_id, call_id, pbx, channel_uniqueid, state, "
            "spool_name, encoding, started_at) VALUES (?, 'acme', 'c', 'east', '1', 'sealed', 's', "
            "'pcm-8000-1', 0)",
            (recording,),
        )
    database.close()


def test_a_place_is_added_listed_and_removed(acme: CommandLine) -> None:
    add(acme, "https://x.example/in", "--no-keep")
    (place,) = rows(acme, "list")
    assert (place["tenant"], place["place"], place["kind"]) == ("acme", "theirs", "https")
    assert place["keep"] is False
    assert place["settings"]["url"] == "https://x.example/in"
    assert "theirs" in acme("delivery", "list", "--tenant", "acme").out
    add(acme, "https://x.example/in", name="second")
    pair = f"secret_file={token(acme)}"
    acme(
        *("delivery", "add", "acme", "theirs", "--kind", "https"),
        *("--set", "url=https://y.example", "--set", pair),
    ).refused("acme has a place theirs already")
    acme("delivery", "remove", "acme", "nothing").refused("acme has no place nothing")
    assert acme("delivery", "remove", "acme", "theirs").code == 0
    assert [one["place"] for one in rows(acme, "list")] == ["second"]
    assert [one for one in actions(acme) if one.startswith("place.")] == [
        "place.add",
        "place.add",
        "place.remove",
    ]


def test_what_is_wrong_is_said_when_it_is_entered(acme: CommandLine) -> None:
    for kind, pairs, said in (
        ("https", ["url=https://u:hunter2@x.example/"], "it has a password"),
        ("https", ["token=hunter2"], "there is no setting 'token'"),
        ("https", ["url=https://x.example/", "secret_file=/nowhere"], "No such file"),
        ("fax", [], "is no kind of place"),
        ("s3", ["bucket=theirs", "credentials_file=/nowhere"], "No such file"),
    ):
        options = [part for pair in pairs for part in ("--set", pair)]
        refused = acme("delivery", "add", "acme", "theirs", "--kind", kind, *options)
        refused.refused(said)
        assert "hunter2" not in refused.err
    token(acme).chmod(0o640)
    acme(
        *("delivery", "add", "acme", "theirs", "--kind", "https"),
        *("--set", "url=https://x.example", "--set", f"secret_file={acme.folder / 'token'}"),
    ).refused("has mode 0640; it must be 0600 or 0400")
    assert acme("delivery", "list", "--json").json() == []


def test_nothing_is_kept_only_where_the_place_can_confirm(acme: CommandLine) -> None:
    post = ("--kind", "mail", "--set", "host=mx.example", "--set", "sender=a@b.example")
    to = ("--set", "to=c@d.example")
    acme("delivery", "add", "acme", "post", *post, *to, "--no-keep").refused(
        "--no-keep is refused for mail"
    )
    assert acme("delivery", "add", "acme", "post", *post, *to).code == 0
    acme("delivery", "add", "nobody", "post", *post, *to).refused("there is no tenant nobody")


def test_a_probe_is_an_age_file_that_is_confirmed(
    acme: CommandLine, server: tuple[str, dict[str, bytes]]
) -> None:
    url, got = server
    add(acme, f"{url}/in", "--no-keep")
    said = acme("delivery", "test", "acme", "theirs", "--json").json()
    assert isinstance(said, dict)
    (path, body), *rest = got.items()
    assert (path, rest) == ("/in/callguard-test.age", [])
    assert body.startswith(b"age-encryption.org/v1\n")
    assert (said["confirmed"], said["sha256"]) == (True, hashlib.sha256(body).hexdigest())
    add(acme, f"{url}/deaf", name="deaf")
    assert "sent, not confirmed" in acme("delivery", "test", "acme", "deaf").out
    add(acme, f"{url}/deaf", "--no-keep", name="gone")
    acme("delivery", "test", "acme", "gone").refused("none would leave here")
    add(acme, "http://127.0.0.1:1/in", name="down")
    acme("delivery", "test", "acme", "down").refused("down: connection refused")
    acme("delivery", "test", "acme", "none").refused("acme has no place none")


def test_where_a_recording_went_is_shown_and_tried_again(acme: CommandLine) -> None:
    row(acme, "r1", "stuck")
    row(acme, "r2", "sent")
    add(acme, "https://x.example/in", "--no-keep")
    assert rows(acme, "list")[0]["open"] == {"sent": 1, "stuck": 1}
    assert "stuck" in acme("delivery", "list").out
    (shown,) = rows(acme, "show", "r1")
    assert (shown["state"], shown["attempts"], shown["reason"]) == ("stuck", 3, "it is down")
    assert "stuck" in acme("delivery", "show", "r1").out
    acme("delivery", "show", "r9").refused("there is no delivery of a recording r9")
    acme("delivery", "retry").refused("say what")
    assert acme("delivery", "retry", "r1", "--json").json() == {"count": 1}
    acme("delivery", "retry", "r2").refused("nothing waits to be delivered there")
    assert acme("delivery", "retry", "r2", "--sent", "--json").json() == {"count": 1}
    assert acme("delivery", "retry", "--tenant", "acme", "--json").json() == {"count": 2}
    acme("delivery", "retry", "--place", "other").refused("nothing waits")


def test_no_secret_reaches_the_database(acme: CommandLine) -> None:
    add(acme, "https://x.example/in")
    with sqlite3.connect(acme.data / "callguard.db") as database:
        dump = "\n".join(database.iterdump())
    database.close()
    assert TOKEN not in dump
    assert str(acme.folder / "token") in dump
