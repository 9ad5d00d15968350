"""Logging in: a challenge where there is one, the bare secret only where nobody listens."""

import ssl
from typing import Any

import pytest
from structlog.testing import capture_logs

from callguard.ami.login import challenge_key
from tests.ami.pbx import SECRET, Pbx, answer, settings, silence, watching
from tests.ami.virtual import eventually, virtual


def no_challenge(pbx: Pbx) -> Pbx:
    error = ("Message", "Invalid/unknown command: Challenge.")
    pbx.scripts["Challenge"] = lambda action: answer(action, "Error", error)
    return pbx


def test_the_key_is_the_digest_asterisk_computes() -> None:
    # md5sum of "1234567" followed by "secret", as authenticate() in main/manager.c joins them.
    assert challenge_key("1234567", "secret") == "3839629c5faf5c0f9797cd6bacdb1f7c"


@virtual
async def test_the_secret_itself_is_not_sent_when_a_challenge_is_offered() -> None:
    pbx = Pbx()
    async with watching(pbx, events="call,cdr"):
        challenge, login = pbx.received
    assert challenge.get("AuthType") == "MD5"
    assert login.get("Username") == "guard"
    assert login.get("AuthType") == "MD5"
    assert login.get("Secret") is None
    assert login.get("Events") == "call,cdr"
    assert not any(SECRET in value for _, value in login.headers)


@virtual
async def test_without_a_challenge_the_secret_is_not_sent_over_an_open_network() -> None:
    pbx = no_challenge(Pbx())
    with capture_logs() as logs:
        async with watching(pbx, up=False) as watched:
            await eventually(lambda: watched.session.counters.logins_refused == 1)
            assert "clear" in watched.session.reason
    assert pbx.names() == ["Challenge"]
    [line] = [entry for entry in logs if entry["log_level"] == "error"]
    assert line["event"] == "ami_login_refused"
    assert SECRET not in str(logs)


@pytest.mark.parametrize(
    "safe",
    [
        {"host": "127.0.0.1"},
        {"host": "::1"},
        {"host": "localhost"},
        {"tls": ssl.create_default_context()},
        {"allow_plain": True},
    ],
)
def test_without_a_challenge_the_secret_is_sent_where_nobody_listens(safe: dict[str, Any]) -> None:
    @virtual
    async def logs_in() -> None:
        pbx = no_challenge(Pbx())
        async with watching(pbx, **safe):
            assert pbx.received[1].get("Secret") == SECRET
            assert pbx.received[1].get("AuthType") is None

    logs_in()


@virtual
async def test_a_challenge_without_a_value_is_none() -> None:
    pbx = Pbx()
    pbx.scripts["Challenge"] = answer
    async with watching(pbx, up=False) as watched:
        await eventually(lambda: watched.session.counters.logins_refused == 1)
    assert pbx.names() == ["Challenge"]


@virtual
async def test_a_refused_login_is_not_retried_at_once() -> None:
    pbx = Pbx(secret="another")
    with capture_logs() as logs:
        async with watching(pbx, up=False, backoff_max=15.0) as watched:
            await eventually(lambda: watched.session.counters.logins_refused == 3)
            assert watched.session.state == "down"
            assert watched.session.reason == "login refused: Authentication failed"
    first, second, third = pbx.connected_at
    assert second - first > 14.9
    assert third - second > 14.9
    lines = [entry for entry in logs if entry["log_level"] in {"warning", "error"}]
    assert [entry["event"] for entry in lines] == ["ami_login_refused"] * 3
    assert SECRET not in str(logs)
    assert watched.ups == 0
    assert watched.downs == []


@virtual
async def test_a_corrected_secret_logs_in_at_the_next_attempt() -> None:
    pbx = Pbx(secret="another")
    async with watching(pbx, up=False) as watched:
        await eventually(lambda: watched.session.counters.logins_refused == 1)
        pbx.secret = SECRET
        await watched.until_up()
        assert watched.ups == 1


@virtual
async def test_a_login_that_is_never_answered_is_given_up() -> None:
    pbx = Pbx()
    pbx.scripts["Login"] = silence
    async with watching(pbx, up=False, login_timeout=3.0) as watched:
        await eventually(lambda: watched.session.reason != "not started")
        assert "no login" in watched.session.reason
        assert watched.session.state == "down"
        assert watched.session.counters.logins_refused == 0


@virtual
async def test_events_before_the_login_are_not_believed() -> None:
    pbx = Pbx()
    pbx.greeting += b"Event: Hangup\r\nUniqueid: 1\r\n\r\n"
    async with watching(pbx) as watched:
        pbx.send(b"Event: Hangup\r\nUniqueid: 2\r\n\r\n")
        await eventually(lambda: len(watched.events) > 0)
        assert [event.get("Uniqueid") for event in watched.events] == ["2"]


@virtual
async def test_events_in_the_same_breath_as_the_login_are_not_lost() -> None:
    pbx = Pbx()
    event = b"Event: Hangup\r\nUniqueid: 1\r\n\r\n"
    pbx.scripts["Login"] = lambda action: answer(action) + event
    async with watching(pbx) as watched:
        assert [event.get("Uniqueid") for event in watched.events] == ["1"]


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "asterisk", "localhost.example"])
def test_a_host_that_is_not_surely_this_machine_is_an_open_network(host: str) -> None:
    assert not settings(host=host).may_log_in_plainly


def test_settings_keep_the_secret_to_themselves() -> None:
    assert SECRET not in repr(settings())


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"host": ""},
        {"username": ""},
        {"ping_interval": 0},
        {"action_timeout": -1.0},
        {"login_timeout": float("nan")},
        {"backoff_min": 20.0},
        {"in_flight": 0},
        {"list_events": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="AMI settings"):
        settings(**wrong)
