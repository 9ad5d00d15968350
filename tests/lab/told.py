"""Many calls at once, each with its own tenant, party and answer to what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from callguard.consent.given import About, record
from callguard.policy.overrides import Override
from callguard.policy.packs import shipped_packs
from callguard.retention.schedule import for_days
from callguard.storage.schema import tenant_recipients
from callguard.tenants.rules import set_rule
from callguard.tenants.store import NewTenant, add
from callguard.tenants.tenant import TenantSettings
from tests.lab import audio, sipp
from tests.lab.audio import AGENT_TONE, NOTICE_TONE, PARTY_TONE, Wav
from tests.lab.calls import LINE
from tests.lab.config import PARTIES
from tests.lab.guarded import GuardedPbx, Row, Story
from tests.lab.service import TENANT
from tests.lab.sipp import Outcome, Step, Talk

EARLY_TONE = 1500.0
"""What a network plays before the answer."""

_FIRST_NUMBER = 12025550101


@dataclass(frozen=True, slots=True)
class Scene:
    """One call of tenant-`tenant`, at once with others.

    `steps` is what the party does from its answer on; a caller goes on for `talk_ms` after that.
    Of an outbound call that is how long the agent talks, once connected. `leaves`: the party hangs
    up after its steps. `info`: its endpoint knows digits only as SIP INFO. `early_ms`: the network
    plays a tone for so long before the answer. `detects`: the PBX listens whether a machine
    answered, and the party speaks `as_human`, a word and a pause, or on and on.
    """

    tenant: int
    steps: tuple[Step, ...] = ()
    inbound: bool = False
    info: bool = False
    leaves: bool = False
    early_ms: int = 0
    detects: bool = False
    as_human: bool = False
    talk_ms: int = 1200


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a scene. `agent` and `party` are what the agent's phone and the outside party
    saw of it."""

    agent: Outcome
    party: Outcome
    story: Story
    sounds: Mapping[str, Wav] = field(repr=False)

    @property
    def consent(self) -> Row:
        """The only row of the ledger."""
        (row,) = self.story.consents
        return row

    @property
    def answered(self) -> tuple[str, str, str | None]:
        """What the ledger says: mode, state and digit."""
        row = self.consent
        return row["mode"], row["state"], row["answer"]

    @property
    def connected(self) -> bool:
        """The agent and the party talked."""
        return self.agent.connected and self.party.connected

    @property
    def talked(self) -> float:
        """For how many seconds."""
        return min(self.agent.talks + self.party.talks)

    def assert_recorded(self) -> None:
        """The talk was, from its first moment to its last, and nothing else."""
        assert self.connected
        (recording,) = self.story.recordings
        wav = self.sounds[recording["id"]]
        (samples,) = wav.samples
        assert wav.seconds == pytest.approx(self.talked, abs=0.25)
        for tone in (AGENT_TONE, PARTY_TONE):
            stretches = audio.heard(samples, wav.rate, tone)
            assert stretches[0][0] < 0.3, tone
            assert stretches[-1][1] > wav.seconds - 0.3, tone
        for tone in (NOTICE_TONE, EARLY_TONE):
            assert audio.heard(samples, wav.rate, tone) == [], tone

    def assert_connected_unrecorded(self) -> None:
        """They talked, and nobody kept a sample."""
        assert self.connected
        assert self.story.recordings == []

    def assert_ended(self) -> None:
        """The call ended without a talk."""
        assert not (self.agent.connected and self.party.connected)
        assert self.story.recordings == []


def add_tenants(guarded: GuardedPbx, settings: Mapping[int, Mapping[str, object]]) -> None:
    """Tenants of the dialplan's single digits, whose recordings open with the key of `guarded`."""
    (recipient,) = guarded.rows(
        select(tenant_recipients.c.recipient).where(tenant_recipients.c.tenant_id == TENANT)
    )
    for digit, chosen in settings.items():
        values = {"home_region": "US", "purpose": "service", "shown_number": LINE, **chosen}
        name = f"tenant-{digit}"
        new = NewTenant(
            name, name, TenantSettings.model_validate(values), None, [recipient["recipient"]]
        )
        guarded.callguard.write(
            lambda connection, new=new: add(  # type: ignore[misc]
                connection, new, at=datetime.now(UTC), actor="laboratory"
            )
        )


def consent_before(guarded: GuardedPbx, tenant: int, number: str) -> str:
    """This subject has consented to recordings, in writing; the id of the ledger's row."""
    now = datetime.now(UTC)
    about = About(f"tenant-{tenant}", f"+{number}", "recording")
    rows: list[str] = []
    guarded.callguard.write(
        lambda connection: rows.append(
            record(
                connection,
                about,
                proof="form 7",
                granted_at=now,
                at=now,
                actor="laboratory",
                keep=for_days(30),
            )
        )
    )
    return rows[0]


def let_record_silently(guarded: GuardedPbx, *tenants: int) -> None:
    """Where the law is content with one party's consent, so shall these be."""
    reason = "one party's consent suffices here"
    override = Override("base.recording-notice", disabled=True, reason=reason)
    rules = [rule for pack in shipped_packs() for rule in pack.rules]
    for digit in tenants:
        guarded.callguard.write(
            lambda connection, tenant=f"tenant-{digit}": set_rule(  # type: ignore[misc]
                connection, tenant, override, rules, at=datetime.now(UTC), actor="laboratory"
            )
        )


def recording_rule(tenant: int, settings: str) -> str:
    """A rule of the operator's own pack about the recording of one tenant's calls."""
    return f"""
[[rule]]
id = "lab.recording-{tenant}"
kind = "recording_mode"
title = "A rule of the house"
citation = "House rule {tenant}"
effective_from = 2020-01-01
prompt = ""
scope = {{ tenants = ["tenant-{tenant}"], directions = ["outbound", "inbound"] }}
settings = {{ {settings} }}
"""


def number_of(at: int) -> str:
    """The number of the `at`-th scene's party (fictional: NANP 555-01xx)."""
    return str(_FIRST_NUMBER + at)


class Stage:
    """Plays scenes beside each other, on one PBX."""

    def __init__(self, guarded: GuardedPbx, folder: Path) -> None:
        self._guarded = guarded
        self._folder = folder
        self._sites = guarded.pbx.sites
        self._agent = audio.write_mulaw(folder / "agent.ul", audio.tone(AGENT_TONE, 5))
        self._party = audio.write_mulaw(folder / "party.ul", audio.tone(PARTY_TONE, 5))
        said = [audio.silence(0.3), audio.tone(PARTY_TONE, 0.5), audio.silence(1.2)]
        speech = np.concatenate([*said, audio.tone(PARTY_TONE, 20)])
        self._human = audio.write_mulaw(folder / "human.ul", speech)
        self._early = audio.write_mulaw(folder / "early.ul", audio.tone(EARLY_TONE, 5))

    def play(
        self, scenes: Mapping[str, Scene], *, first: int = 0, at_once: int = 15
    ) -> dict[str, Told]:
        """Play them all, with numbers and ports from the `first` on; what became of each, once it
        is sealed."""
        numbered = list(enumerate(scenes.items(), first))
        with ThreadPoolExecutor(at_once) as pool:
            calls = [pool.submit(self._call, at, scene) for at, (_, scene) in numbered]
            ends = [call.result() for call in calls]
        return {
            name: self._told(number_of(at), *end)
            for (at, (name, _)), end in zip(numbered, ends, strict=True)
        }

    def _told(self, number: str, agent: Outcome, party: Outcome) -> Told:
        story = self._guarded.settled(number)
        sounds = {
            recording["id"]: self._guarded.opened(recording)
            for recording in story.recordings
            if recording["state"] == "sealed"
        }
        return Told(agent, party, story, sounds)

    def _call(self, at: int, scene: Scene) -> tuple[Outcome, Outcome]:
        play = self._inbound if scene.inbound else self._outbound
        return play(at, scene, self._folder / str(at))

    def _outbound(self, at: int, scene: Scene, folder: Path) -> tuple[Outcome, Outcome]:
        kind = 0 if scene.detects else 1 if scene.info else 2
        prefix = f"*{kind}{at:02}{scene.tenant}"
        with sipp.answer(
            folder / "party",
            port=self._sites.parties + at,
            tone=self._human if scene.as_human else self._party,
            ring_ms=scene.early_ms or 50,
            early=self._early if scene.early_ms else None,
            steps=scene.steps,
            hang_up=scene.leaves,
        ) as party:
            agent = sipp.call(
                folder / "agent",
                to=prefix + number_of(at),
                target=self._sites.sip,
                port=self._sites.parties + PARTIES // 2 + at,
                tone=self._agent,
                steps=(Talk(scene.talk_ms),),
            ).finish()
            rang = party.outcome().invites_received
            return agent, party.finish() if rang else party.outcome()

    def _inbound(self, at: int, scene: Scene, folder: Path) -> tuple[Outcome, Outcome]:
        with sipp.answer(
            folder / "agent", port=self._sites.parties + at, tone=self._agent, ring_ms=50
        ) as phone:
            party = sipp.call(
                folder / "party",
                to=f"*2{at:02}{scene.tenant}",
                target=self._sites.sip,
                port=self._sites.parties + PARTIES // 2 + at,
                user=number_of(at),
                name="Caller",
                side="info" if scene.info else "carrier",
                tone=self._party,
                steps=(*scene.steps, *(() if scene.leaves else (Talk(scene.talk_ms),))),
            ).finish()
            rang = phone.outcome().invites_received
            return phone.finish() if rang else phone.outcome(), party
