"""The mode of a call: the law of both ends, the tenant's wish, the stricter of the two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.consent.modes import Mode, choose, law_of
from callguard.policy.rules import Obligation
from callguard.tenants.tenant import TenantSettings

NONE, SILENT, PRIOR = Mode.NONE, Mode.SILENT, Mode.PRIOR
NOTICE, OR_REFUSE, ASK = Mode.NOTICE, Mode.NOTICE_OR_REFUSE, Mode.ASK
WISHES = (SILENT, NOTICE, OR_REFUSE, ASK)


@pytest.mark.parametrize(
    ("obligations", "law"),
    [
        ({Obligation.ONE_PARTY}, SILENT),
        ({Obligation.ONE_PARTY, Obligation.PRIOR_CONSENT}, PRIOR),
        ({Obligation.ONE_PARTY, Obligation.PLAY_NOTICE}, NOTICE),
        ({Obligation.PRIOR_CONSENT, Obligation.PLAY_NOTICE}, NOTICE),
        ({Obligation.PLAY_NOTICE, Obligation.ASK_CONSENT}, ASK),
        ({Obligation.PRIOR_CONSENT, Obligation.ASK_CONSENT}, ASK),
        (set(Obligation), NONE),
        (set(), NOTICE),
        ({Obligation.BEEP, Obligation.IDENTIFY, Obligation.RECORD}, NOTICE),
    ],
)
def test_the_strictest_obligation_is_the_law_and_silence_of_the_rules_is_a_notice(
    obligations: set[Obligation], law: Mode
) -> None:
    assert law_of(obligations) is law


CHOSEN = {
    NONE: (NONE, NONE, NONE, NONE),
    SILENT: (SILENT, NOTICE, OR_REFUSE, ASK),
    PRIOR: (PRIOR, NOTICE, OR_REFUSE, PRIOR),
    NOTICE: (NOTICE, NOTICE, OR_REFUSE, ASK),
    ASK: (ASK, ASK, ASK, ASK),
}
"""By law, for each wish."""


@pytest.mark.parametrize(
    ("law", "wish", "mode"),
    [
        (law, wish, mode)
        for law, modes in CHOSEN.items()
        for wish, mode in zip(WISHES, modes, strict=True)
    ],
)
def test_the_stricter_of_law_and_wish_wins(law: Mode, wish: Mode, mode: Mode) -> None:
    assert choose(law, wish, record=True) is mode
    assert choose(law, wish, record=False) is NONE


def test_every_wish_that_a_tenant_can_have_is_a_mode() -> None:
    wish = TenantSettings.model_fields["recording_mode"].annotation
    assert {each.value for each in WISHES} == set(wish.__args__)  # type: ignore[union-attr]  # a Literal


_RANK = {mode: rank for rank, mode in enumerate(Mode)}


@given(
    st.frozensets(st.sampled_from(Obligation)),
    st.frozensets(st.sampled_from(Obligation)),
    st.sampled_from(WISHES),
)
def test_one_more_rule_never_makes_the_mode_milder(
    some: frozenset[Obligation], more: frozenset[Obligation], wish: Mode
) -> None:
    """But for a first one: where no rule spoke, a notice is due, and one may say less."""
    before = choose(law_of(some), wish, record=True)
    after = choose(law_of(some | more), wish, record=True)
    spoke = law_of(some) is not NOTICE or Obligation.PLAY_NOTICE in some
    assert (
        after is NONE
        or _RANK[after] >= _RANK[before]
        or not spoke
        or (
            # Whoever agreed already is not asked, which is no milder than to record in silence.
            after is PRIOR and law_of(some) is SILENT
        )
    )
