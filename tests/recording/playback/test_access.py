"""May this reading happen? One line where it may not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.recording.playback.access import (
    GROUNDS,
    MAX_REASON,
    ROLES,
    AccessError,
    Asked,
    Facts,
    Form,
    Reader,
    Role,
    Why,
    fault_of_reason,
    read_ground,
    read_role,
    refusal,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FACTS = Facts("acme", "sealed", NOW + timedelta(days=1), (), False, "here")
FORMS: tuple[Form, ...] = get_args(Form)
EXPIRED = replace(FACTS, expires_at=NOW)
HELD = replace(EXPIRED, holds=("h1",))


def reader(role: Role, tenant: str = "acme") -> Reader:
    return Reader("somebody", role, None if role in ("operator", "auditor") else tenant)


def asked(role: Role = "operator", form: Form = "playback", tenant: str = "acme") -> Asked:
    return Asked(reader(role, tenant), form, "תלונה 7")


def why(one: Asked, facts: Facts | None = FACTS, now: datetime = NOW) -> Why | None:
    found = refusal(one, "r1", facts, now)
    if found is None:
        return None
    assert "\n" not in found.line
    assert found.line
    return found.why


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("operator", FORMS),
        ("tenant_admin", FORMS),
        ("supervisor", ("metadata", "verify", "playback")),
        ("auditor", ("metadata", "verify")),
    ],
)
def test_each_role_may_what_it_may(role: Role, may: tuple[Form, ...]) -> None:
    for form in FORMS:
        assert why(asked(role, form)) == (None if form in may else Why.ROLE)


@pytest.mark.parametrize("role", ["tenant_admin", "supervisor"])
def test_another_tenants_recording_is_as_if_it_never_was(role: Role) -> None:
    for form in FORMS:
        found = refusal(asked(role, form, "two"), "r1", FACTS, NOW)
        assert found == refusal(asked(role, form, "two"), "r1", None, NOW)
        assert found is not None
        assert (found.why, found.line) == (Why.ABSENT, "there is no recording r1")


def test_what_has_expired_is_as_if_it_never_was() -> None:
    for role in ROLES:
        for form in FORMS:
            assert why(asked(role, form), EXPIRED) == Why.ABSENT
            assert why(asked(role, form), replace(EXPIRED, state="erasing")) == Why.ABSENT
    assert why(asked(), FACTS, NOW + timedelta(days=1)) == Why.ABSENT
    assert why(asked(), replace(FACTS, expires_at=None)) is None


def test_what_has_expired_and_is_held_is_the_operators_and_the_auditors_to_verify() -> None:
    for form in FORMS:
        assert why(asked("operator", form), HELD) is None
        assert why(asked("tenant_admin", form), HELD) == Why.ABSENT
        assert why(asked("supervisor", form), HELD) == Why.ABSENT
    assert why(asked("auditor", "verify"), HELD) is None
    assert why(asked("auditor", "playback"), HELD) == Why.ROLE


def test_a_hold_opens_nothing_that_is_closed_without_it() -> None:
    held = replace(FACTS, holds=("h1",))
    assert why(asked("supervisor", "age"), held) == Why.ROLE
    assert why(asked(), replace(held, restricted=True)) == Why.RESTRICTED
    assert why(asked(), replace(held, own_key="none")) == Why.KEY


@pytest.mark.parametrize("restricted", [True, None])
def test_where_processing_is_restricted_a_ground_is_named_or_it_is_only_stored(
    restricted: bool | None,
) -> None:
    facts = replace(FACTS, restricted=restricted)
    for form in ("playback", "wav", "age"):
        found = refusal(asked(form=form), "r1", facts, NOW)
        assert found is not None
        assert found.why is Why.RESTRICTED
        assert "consent, legal-claim, protection" in found.line
        for ground in GROUNDS:
            assert why(replace(asked(form=form), ground=ground), facts) is None
    assert why(asked(form="metadata"), facts) is None
    assert why(asked(form="verify"), facts) is None


@pytest.mark.parametrize(
    ("state", "sort", "line"),
    [
        ("recording", Why.STATE, "still in progress"),
        ("empty", Why.STATE, "is empty"),
        ("lost", Why.STATE, "is lost"),
        ("delivered", Why.STATE, "kept by the tenant"),
        ("erasing", Why.ERASED, "has been erased"),
        ("unheard-of", Why.STATE, "cannot be read: unheard-of"),
    ],
)
def test_what_is_not_sealed_is_seen_and_not_read(state: str, sort: Why, line: str) -> None:
    facts = replace(FACTS, state=state)
    for form in FORMS:
        found = refusal(asked(form=form), "r1", facts, NOW)
        if form == "metadata":
            assert found is None
            continue
        assert found is not None
        assert found.why is sort
        assert line in found.line


@pytest.mark.parametrize(
    ("key", "line"),
    [("none", "export the sealed file instead"), ("destroyed", "key was destroyed")],
)
def test_what_nothing_here_opens_is_not_heard(key: str, line: str) -> None:
    facts = replace(FACTS, own_key=key)  # type: ignore[arg-type]  # of a parameter
    for form in ("playback", "wav"):
        found = refusal(asked(form=form), "r1", facts, NOW)
        assert found is not None
        assert found.why is Why.KEY
        assert line in found.line
    assert why(asked(form="age"), facts) is None
    assert why(asked(form="verify"), facts) is None


@pytest.mark.parametrize(
    "reason",
    ["", " ", "\t", "…", "--", "x" * (MAX_REASON + 1), "a\nb", "a\x1b[2J", "a\u202eb", "a\ud800"],
)
def test_whoever_reads_says_why_in_one_plain_line(reason: str) -> None:
    for form in FORMS:
        expected = Why.REASON if form in ("playback", "wav", "age") else None
        assert why(replace(asked(form=form), reason=reason)) == expected


@pytest.mark.parametrize("reason", ["7", "x" * MAX_REASON, "תלונה \u200f7", "жалоба", "50% off"])
def test_a_reason_may_be_in_any_script(reason: str) -> None:
    assert fault_of_reason(reason) is None


@given(
    st.sampled_from(ROLES),
    st.sampled_from(FORMS),
    st.text(max_size=4),
    st.none() | st.sampled_from(GROUNDS),
    st.builds(
        Facts,
        st.sampled_from(["acme", "two"]),
        st.sampled_from(["sealed", "recording", "lost", "erasing"]),
        st.none() | st.sampled_from([NOW - timedelta(1), NOW, NOW + timedelta(1)]),
        st.sampled_from([(), ("h",)]),
        st.sampled_from([True, False, None]),
        st.sampled_from(["here", "destroyed", "none"]),
    ),
)
def test_whoever_hears_may_do_so_in_every_way(
    role: Role, form: Form, reason: str, ground: object, facts: Facts
) -> None:
    """Each rule alone suffices to refuse, whatever the others say."""
    one = Asked(reader(role), form, reason, ground)  # type: ignore[arg-type]  # drawn
    if refusal(one, "r1", facts, NOW) is not None or form == "metadata":
        return
    assert facts.state == "sealed"
    assert facts.tenant == "acme" or role in ("operator", "auditor")
    assert facts.expires_at is None or facts.expires_at > NOW or facts.holds
    if form != "verify":
        assert role != "auditor"
        assert fault_of_reason(reason) is None
        assert facts.restricted is False or ground
    if form in ("playback", "wav"):
        assert facts.own_key == "here"


def test_a_role_is_read_with_its_tenant() -> None:
    assert read_role("me", "operator") == Reader("me", "operator")
    assert read_role("me", "supervisor:acme") == Reader("me", "supervisor", "acme")
    for text in ("", "king", "supervisor", "supervisor:", "operator:acme", "auditor:", ":acme"):
        with pytest.raises(AccessError):
            read_role("me", text)


def test_a_ground_is_one_of_three() -> None:
    assert [read_ground(text) for text in (*GROUNDS, "")] == [*GROUNDS, None]
    with pytest.raises(AccessError, match="curiosity"):
        read_ground("curiosity")
