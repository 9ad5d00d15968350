"""A running service plays what was entered last, and tells what it cannot play."""

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

from callguard.consent.own_audio import Sound
from callguard.consent.own_prompt import Words, enter
from callguard.consent.prompts import MANIFEST, SHARED, Digits
from callguard.follower import REFRESH_S
from callguard.storage.schema import consents
from tests.consent.speech import write_wav
from tests.gate.line_calls import calls_line, line_house, said, wishes
from tests.harness.virtual import virtual_time
from tests.house import PARTY, PROMPTS, House, house

WORDS = Words("notice", "en", "acme", "We record this. Press 9.", Digits(opt_out="9"))


async def alarms(home: House) -> list[str]:
    status = await home.service.overview.status()
    return [alarm for alarm in status.alarms if alarm.startswith(("prompt", "no prompt"))]


def enter_own(folder: Path, words: Words = WORDS, seconds: int = 2) -> str:
    """Enters a second of silence as acme's own; returns its SHA-256."""
    write_wav(folder / "own.wav", 8_000 * seconds)
    data = (folder / "own.wav").read_bytes()
    enter(folder / "prompts", words, Sound(data, 8_000 * seconds), lambda _: None)
    return hashlib.sha256(data).hexdigest()


@virtual_time
async def test_a_recording_that_is_entered_is_played_from_the_next_call_on(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        sha256 = enter_own(tmp_path)
        await asyncio.sleep(2 * REFRESH_S)
        call = home.pbx.outbound(PARTY, tenant="acme", purpose="service")
        await call.carrier_answers()
        await call.hears_all(f"{PROMPTS}/tenants/acme/en/notice-1")
        await call.talk(seconds=1)
        await call.hangs_up("party")
        await call.ended()
        consent = home.one(consents)
        told = await alarms(home)
    assert consent["prompt"] == f"notice v1 en tenant:acme sha256:{sha256}"
    assert (consent["state"], consent["heard_ms"], consent["length_ms"]) == ("granted", 2000, 2000)
    assert told == []


@virtual_time
async def test_digits_that_no_prompt_names_are_an_alarm_until_one_does(tmp_path: Path) -> None:
    async with house(tmp_path, opt_out_digit="8") as home:
        before = await alarms(home)
        for name in ("notice", "notice-refuse", "ask"):
            digits = Digits(opt_out="8")
            if name != "notice":
                digits = replace(digits, refuse="2", accept="1" if name == "ask" else "")
            enter_own(tmp_path, replace(WORDS, name=name, digits=digits))
        await asyncio.sleep(2 * REFRESH_S)
        after = await alarms(home)
    names = "notice, notice-refuse, ask (acme)"
    command = "run callguard prompt build --tenant acme"
    assert before == [f"no prompt in en names the keys 1,2,8: {names}: {command}"]
    assert after == []


@virtual_time
async def test_a_manifest_that_is_torn_meanwhile_is_an_alarm_and_changes_nothing(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        library = home.service.gate.prompts
        manifest = tmp_path / "prompts" / MANIFEST
        whole = manifest.read_text()
        manifest.write_text("[{")
        await asyncio.sleep(2 * REFRESH_S)
        (torn,) = await alarms(home)
        found = home.service.gate.prompts.find("notice", "en", "acme", SHARED)
        manifest.write_text(whole)
        await asyncio.sleep(2 * REFRESH_S)
        mended = await alarms(home)
    assert torn.startswith(f"prompt: {manifest}: ")
    assert "what it said before still holds" in torn
    assert found == library.find("notice", "en")
    assert found is not None
    assert mended == []


@virtual_time
async def test_the_opt_out_line_speaks_with_the_tenants_own_voice(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        offer = Words("line-offer", "en", "acme", "Press 1 to be left alone, or 2.", Digits())
        sha256 = enter_own(tmp_path, offer)
        await asyncio.sleep(2 * REFRESH_S)
        call = calls_line(home.pbx, PARTY)
        await call.hears(f"{PROMPTS}/tenants/acme/en/line-offer-1", seconds=1)
        await call.presses("1")
        await call.hears_all(said("optout-done"))
        await call.ended()
        (wish,) = wishes(home)
    assert wish["prompt"] == f"line-offer v1 en tenant:acme sha256:{sha256}"
