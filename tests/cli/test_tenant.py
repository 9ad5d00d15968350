"""``callguard tenant``."""

import pytest

from callguard.recording import age
from tests.cli.conftest import CommandLine
from tests.recording.sealing import HYBRID, X25519

OUTSIDE = str(X25519.recipient)
OUTSIDE_PQ = str(HYBRID.recipient)


def test_a_tenant_is_added_listed_and_shown(callguard: CommandLine) -> None:
    name = "חברת [/b] הטלפונים בע״מ :smile:"
    added = callguard(
        *("tenant", "add", "acme", "--name", name, "--region", "IL", "--language", "he"),
        *("--purpose", "service", "--number", "03-1234567", "--endpoint", "PJSIP/a", "--json"),
    ).json()
    assert isinstance(added, dict)
    assert added["tenant"] == "acme"
    assert age.parse_recipient(added["recipient"]).post_quantum
    row = {"tenant": "acme", "name": name, "region": "IL", "keys": 1}
    assert callguard("tenant", "list", "--json").json() == [row]
    table = callguard("tenant", "list")
    assert table.code == 0
    assert "[/b]" in table.out
    assert ":smile:" in table.out
    shown = callguard("tenant", "show", "acme", "--json").json()
    assert isinstance(shown, dict)
    assert (shown["name"], shown["purpose"], shown["language"]) == (name, "service", "he")
    assert shown["retention"]["recording"] == "1y"
    assert shown["retention"]["contact"] is None
    assert name in callguard("tenant", "show", "acme").out


def test_the_operators_region_is_the_default(callguard: CommandLine) -> None:
    callguard("tenant", "add", "acme", "--key", "x25519", "--no-record")
    shown = callguard("tenant", "show", "acme", "--json").json()
    assert isinstance(shown, dict)
    assert (shown["home_region"], shown["record"], shown["key_kind"]) == ("GB", False, "x25519")


def test_a_tenant_says_what_its_opt_out_line_does(callguard: CommandLine) -> None:
    languages = ("--line-language", "en", "--line-language", "he")
    typed = ("--typed-opt-out", "call_back", "--key", "x25519")
    callguard("tenant", "add", "acme", *languages, *typed)
    shown = callguard("tenant", "show", "acme", "--json").json()
    assert isinstance(shown, dict)
    assert (shown["languages"], shown["typed_opt_out"]) == (["en", "he"], "call_back")
    refused = callguard("tenant", "add", "other", "--typed-opt-out", "believe")
    assert refused.code == 1
    assert "typed_opt_out" in refused.err


def test_the_number_shown_is_read_as_the_tenant_would_dial_it(callguard: CommandLine) -> None:
    region = ("--region", "IL", "--key", "x25519")
    callguard("tenant", "add", "acme", *region, "--shown-number", "03-1234567")
    shown = callguard("tenant", "show", "acme", "--json").json()
    assert isinstance(shown, dict)
    assert shown["shown_number"] == "03-1234567"
    callguard("tenant", "add", "two", *region)
    shown = callguard("tenant", "show", "two", "--json").json()
    assert isinstance(shown, dict)
    assert shown["shown_number"] == ""


def test_a_second_time_is_refused_and_changes_nothing(acme: CommandLine) -> None:
    before = acme("tenant", "show", "acme", "--json").json()
    acme("tenant", "add", "acme", "--name", "Other").refused("tenant acme exists already")
    assert acme("tenant", "show", "acme", "--json").json() == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("Acme",), "'Acme' is no tenant id"),
        (("two", "--key", "rsa"), "'rsa' is no kind of key"),
        (("two", "--key", "none"), "needs a --recipient"),
        (("two", "--region", "XX"), "home_region: "),
        (("two", "--purpose", "fun"), "purpose: "),
        (("two", "--recipient", "age1nothing"), "recipient"),
        (("two", "--recipient", OUTSIDE), "cannot be mixed"),
        (("two", "--key", "x25519", "--recipient", OUTSIDE_PQ), "cannot be mixed"),
        (("two", "--number", "abc"), "'abc' is no telephone number"),
        (("two", "--number", "020 7946 0000"), "belongs to a tenant already"),
        (("two", "--endpoint", "PJSIP/a"), "belongs to a tenant already"),
        (("two", "--endpoint", ""), "an endpoint has no name"),
        (("two", "--shown-number", "abc"), "'abc' is no full telephone number to show"),
        (("two", "--shown-number", "anonymous"), "is no full telephone number to show"),
        (("two", "--shown-number", "112"), "'112' is no full telephone number to show"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_is_refused_is_one_line_and_adds_nothing(
    callguard: CommandLine, arguments: tuple[str, ...], reason: str
) -> None:
    first = ("--number", "+442079460000", "--endpoint", "PJSIP/a", "--key", "x25519")
    assert callguard("tenant", "add", "one", *first).code == 0
    callguard("tenant", "add", *arguments).refused(reason)
    found = callguard("tenant", "list", "--json").json()
    assert isinstance(found, list)
    assert [row["tenant"] for row in found] == ["one"]


def test_outside_keys_alone_are_a_tenant_too(callguard: CommandLine) -> None:
    answer = callguard(
        "tenant", "add", "out", "--key", "none", "--recipient", OUTSIDE, "--json"
    ).json()
    assert answer == {"tenant": "out", "recipient": None, "notes": []}
    shown = callguard("tenant", "show", "out", "--json").json()
    assert isinstance(shown, dict)
    assert shown["recipients"] == [OUTSIDE]


def test_a_master_key_that_cannot_be_read_adds_nothing(callguard: CommandLine) -> None:
    master = callguard.data / "master.key"
    master.unlink()
    callguard("tenant", "add", "acme").refused("cannot read master key")
    master.mkdir()
    callguard("tenant", "add", "acme").refused("master key")
    master.rmdir()
    master.write_bytes(bytes(31))
    master.chmod(0o600)
    callguard("tenant", "add", "acme").refused("does not hold exactly 32 bytes")
    assert callguard("tenant", "list", "--json").json() == []


def test_a_retention_is_set_twice_and_shown(acme: CommandLine) -> None:
    for _ in range(2):
        said = acme("tenant", "policy", "acme", "consent", "30d", "--json").json()
        assert isinstance(said, dict)
        assert (said["tenant"], said["class"], said["span"]) == ("acme", "consent", "30d")
    shown = acme("tenant", "show", "acme", "--json").json()
    assert isinstance(shown, dict)
    assert shown["retention"]["consent"] == "30d"


def test_a_retention_that_is_refused_is_one_line(acme: CommandLine) -> None:
    acme("tenant", "policy", "nobody", "consent", "3d").refused("there is no tenant nobody")
    acme("tenant", "policy", "acme", "wishes", "3d").refused("'wishes' is no data class")
    acme("tenant", "policy", "acme", "consent", "101y").refused("is longer than 100y")
    acme("tenant", "policy", "acme", "consent", "many").refused("is no length of time")


def test_a_tenant_nobody_added_is_not_shown(acme: CommandLine) -> None:
    acme("tenant", "show", "nobody").refused("there is no tenant nobody")
