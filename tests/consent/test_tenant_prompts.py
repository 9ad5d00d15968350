"""Alarms say which tenant cannot be heard, and what to run."""

from pathlib import Path

import pytest

from callguard.consent.prompts import Digits, PromptLibrary
from callguard.consent.tenant_prompts import NEEDED, prompt_alarms
from callguard.tenants.tenant import Tenant, TenantSettings
from tests.consent.speech import write_manifest, write_prompt
from tests.house import speak_prompts

OTHERS = {"accept_digit": "3", "refuse_digit": "4", "opt_out_digit": "8"}


def tenant(name: str = "acme", **settings: object) -> Tenant:
    return Tenant(name, name, TenantSettings.model_validate(settings), (), {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    speak_prompts(folder, 1, ("en", "he"))
    own = [write_prompt(folder, tenant="broken"), write_prompt(folder, "ask", tenant="own")]
    write_manifest(folder / "tenants" / "broken", own[:1])
    write_manifest(folder / "tenants" / "own", [{**own[1], "digits": _digits("3", "4", "8")}])
    (folder / "tenants" / "broken" / "en" / "notice-1.wav").unlink()
    return folder


def _digits(*digits: str) -> dict[str, str]:
    return dict(zip(("accept", "refuse", "opt_out"), digits, strict=True))


def alarms(folder: Path, *tenants: Tenant) -> list[str]:
    """Without the one about the file that is missing."""
    told = prompt_alarms(PromptLibrary.load(folder)[0], tenants)
    assert told[0].startswith("prompt: ")
    return list(told[1:])


def test_who_can_be_heard_makes_no_alarm(folder: Path) -> None:
    assert alarms(folder, tenant(), tenant(language="he-IL", languages=("en", "he"))) == []


def test_digits_that_no_prompt_names_are_spoken_by_a_command(folder: Path) -> None:
    (alarm,) = alarms(folder, tenant(**OTHERS))
    assert alarm == (
        "no prompt in en names the keys 3,4,8: notice, notice-refuse, ask (acme):"
        " run callguard prompt build --tenant acme"
    )
    (alarm,) = alarms(folder, tenant("own", **OTHERS))
    assert "names the keys 3,4,8: notice, notice-refuse (own): " in alarm


def test_a_key_that_is_the_shared_one_is_enough_for_the_prompts_that_name_it(folder: Path) -> None:
    (alarm,) = alarms(folder, tenant(accept_digit="5"))
    assert "the keys 5,2,9: ask (acme)" in alarm


def test_a_language_that_was_not_spoken_is_told_once_for_all(folder: Path) -> None:
    many = [tenant(f"t{number}", language="fr") for number in range(12)]
    (alarm,) = alarms(folder, *many)
    assert alarm.startswith(f"prompts in fr are missing: {', '.join(NEEDED)} (t0, t1, ")
    assert alarm.endswith("t9 and 2 more): run callguard prompt build --language fr")


def test_a_language_without_shipped_words_needs_the_tenants_own(folder: Path) -> None:
    (alarm,) = alarms(folder, tenant(language="it"))
    assert "run callguard prompt add notice --language it --tenant acme FILE --text" in alarm


def test_a_tenants_own_that_is_broken_is_to_be_entered_anew(folder: Path) -> None:
    (alarm,) = alarms(folder, tenant("broken"))
    assert alarm == (
        "broken's own prompts in en are broken: notice (broken): "
        "run callguard prompt add notice --language en --tenant broken FILE --text WORDS"
    )


def test_everything_that_names_a_key_is_needed() -> None:
    assert {"notice", "notice-refuse", "ask", "refused", "granted"} <= set(NEEDED)
    assert Digits("1", "2", "9").suit(Digits("1", "2", "9"))
