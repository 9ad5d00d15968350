"""Who was heard in a recording while no consent stood: told from what the simulated MixMonitors
wrote and from the ledger, and from nothing that callguard believes."""

from collections.abc import Iterable
from typing import Any

from callguard.storage.schema import consents, recording_events, recordings
from tests.gate.stateful_world import DELAY_S, World
from tests.harness.hearing import connected_with
from tests.harness.playbook import SPOOL
from tests.harness.recorder import Recorder
from tests.house import House

Span = tuple[float, float]

REACTION_S = 4 * DELAY_S + 0.001
"""An event under way and the action that follows it, twice: an event may overtake an answer."""

FOREIGN_S = 1.0
"""How long somebody else's recording may run of one who did not consent."""

RECOVERY_S = 1.0
"""How long after the manager connection is back callguard may take to rebuild what it knew."""


def without(spans: Iterable[Span], excused: Iterable[Span]) -> list[Span]:
    """What is left of spans of time without the others."""
    left = list(spans)
    for begin, end in excused:
        left = [
            part
            for since, until in left
            for part in ((since, min(until, begin)), (max(since, end), until))
            if part[1] > part[0] + 1e-9
        ]
    return left


def is_ours(recorder: Recorder) -> bool:
    """Whether callguard began it."""
    return recorder.file.startswith(SPOOL)


class Judge:
    """Reads everything once, after the last call has ended."""

    def __init__(self, world: World, home: House, base: float) -> None:
        self._world = world
        self._base = base
        self._recorders = world.pbx.asterisk.media.recorders
        self._names = world.names
        self._consents = home.rows(consents)
        self._events = home.rows(recording_events)
        self._recordings = {row["spool_name"]: row for row in home.rows(recordings)}

    def _loop_time(self, row: dict[str, Any]) -> float:
        at: float = row["at"].timestamp()
        return at - self._base

    def consented(self, uniqueid: str) -> list[Span]:
        """When a consent of whoever was on that channel stood in the ledger."""
        rows = [
            row
            for row in self._consents
            if row["channel_uniqueid"] == uniqueid and row["purpose"] == "recording"
        ]
        spans: list[Span] = []
        since: float | None = None
        for row in sorted(rows, key=lambda row: (row["at"], row["id"])):
            at = self._loop_time(row)
            if row["state"] == "granted":
                since = at if since is None else since
            elif since is not None:
                spans.append((since, at))
                since = None
        return [*spans, *([(since, float("inf"))] if since is not None else [])]

    def blind(self) -> list[Span]:
        """When callguard had no manager connection, or was not back to all it knew."""
        up = [
            (since + RECOVERY_S, until if until is not None else float("inf"))
            for since, until in self._world.pbx.manager.logins
        ]
        return without([(0.0, float("inf"))], up)

    def paused(self, recorder: Recorder) -> list[Span]:
        """When somebody had paused one of callguard's recordings."""
        row = self._recordings.get(recorder.file.rpartition("/")[2])
        spans: list[Span] = []
        since: float | None = None
        for event in sorted(self._events, key=lambda event: (event["at"], event["id"])):
            if row is None or event["recording_id"] != row["id"]:
                continue
            if event["kind"] == "paused" and since is None:
                since = self._loop_time(event)
            elif event["kind"] in {"resumed", "stopped", "erased"} and since is not None:
                spans.append((since, self._loop_time(event)))
                since = None
        return [*spans, *([(since, float("inf"))] if since is not None else [])]

    def is_paused(self, recorder: Recorder) -> bool:
        """Whether callguard takes it for paused: a pause that could not be kept holds all the
        same."""
        row = self._recordings.get(recorder.file.rpartition("/")[2])
        service = self._world.service
        return (
            row is not None and service is not None and service.vault.recorder.is_paused(row["id"])
        )

    def wrong(self) -> list[str]:
        """Everything that should not have been."""
        return [
            *self._unconsented(),
            *self._connected_loud(),
            *self._heard_in_pauses(),
            *self._incomplete(),
        ]

    def _unconsented(self) -> Iterable[str]:
        blind = self.blind()
        for recorder in self._recorders:
            allowed = REACTION_S if is_ours(recorder) else FOREIGN_S
            for heard in recorder.heard:
                if not heard.outside:
                    continue
                bad = without([(heard.since, heard.until)], self.consented(heard.uniqueid))
                for since, until in without(bad, blind):
                    if until - since > allowed:
                        whose = "callguard's" if is_ours(recorder) else "a foreign"
                        yield (
                            f"{heard.channel} was heard without consent in {whose} recording on "
                            f"{recorder.channel.name} from {since:.3f} to {until:.3f}"
                        )

    def _connected_loud(self) -> Iterable[str]:
        """Whoever came through the gate was silenced before they were connected, or was not
        connected: with or without a manager connection, as long as callguard lived."""
        notes = self._world.pbx.asterisk.notes
        for channel in {note.channel for note in notes if note.kind == "agi_ended"}:
            mine = [note for note in notes if note.channel == channel]
            asked = [n.at for n in mine if n.kind == "agi" and self._announces(n.detail)]
            bridged = [note.at for note in mine if note.kind == "bridged"]
            if not asked or not bridged or bridged[0] < asked[0]:
                continue
            alive = not any(a <= bridged[0] and b >= asked[0] for a, b in self._world.down)
            for recorder in filter(is_ours, self._recorders) if alive else ():
                for heard in recorder.heard:
                    if (heard.channel, heard.since) == (channel, bridged[0]) and heard.outside:
                        now = heard.since, heard.until
                        if without([now], self.consented(heard.uniqueid))[:1] == [now]:
                            yield f"{channel} was connected while it was heard, without consent"

    @staticmethod
    def _announces(url: str) -> bool:
        return "/answered?" in url or "/inbound?" in url

    def _heard_in_pauses(self) -> Iterable[str]:
        blind = self.blind()
        for recorder in filter(is_ours, self._recorders):
            for pause in self.paused(recorder):
                for heard in recorder.heard:
                    both = max(heard.since, pause[0]), min(heard.until, pause[1])
                    for since, until in without([both] if both[0] < both[1] else [], blind):
                        if until - since > REACTION_S:
                            yield (
                                f"{heard.channel} was heard in a pause of the recording on "
                                f"{recorder.channel.name} from {since:.3f} to {until:.3f}"
                            )

    def _incomplete(self) -> Iterable[str]:
        """Each recording has a row, each row a fate, each consent its evidence."""
        for recorder in filter(is_ours, self._recorders):
            if recorder.file.rpartition("/")[2] not in self._recordings:
                yield f"no row for the recording {recorder.file}"
        for row in self._recordings.values():
            if row["state"] == "recording":
                yield f"recording {row['id']} is in progress for ever"
            if row["state"] == "erasing" and (row["header"] or row["wrapped_file_key"]):
                yield f"recording {row['id']} can still be opened"
        for row in self._consents:
            if row["state"] == "granted" and row["call_id"] and not self._was_given(row):
                yield f"consent {row['id']} is not borne out: {row}"

    def _was_given(self, row: dict[str, Any]) -> bool:
        """Whether what the ledger says was said and pressed is what the simulator played, and
        enough for its mode."""
        if row["mode"] == "silent":
            return bool(row["rules"])
        if row["mode"] == "prior":
            return str(row["proof"]).startswith("consent:")
        played = [
            heard
            for heard in self._world.pbx.asterisk.media.heard
            if heard.channel == self._names.get(row["channel_uniqueid"])
            and heard.prompt.rpartition("/")[2].startswith(("notice", "ask"))
        ]
        if row["mode"] == "ask" and row["answer"] == "1":
            return any(heard.whole or heard.result == ord("1") for heard in played)
        return row["mode"] != "ask" and any(heard.whole for heard in played)


def muted_wrongly(world: World, judge: Judge, now: float) -> list[str]:
    """With everything at work and quiet: recordings that should be heard and are not, or should
    not be and are. Where somebody is dialled or waits alone, either may be right."""
    found = []
    asterisk = world.pbx.asterisk
    for recorder in asterisk.media.recorders:
        if not recorder.running or not is_ours(recorder):
            continue
        channel = recorder.channel
        heard = connected_with(channel) | {channel}
        linked = {c for c in asterisk.channels if c.linkedid == channel.linkedid}
        if any(c.bridge is None or len(c.bridge.channels) < 2 for c in linked):
            continue
        outside = [c for c in heard if not asterisk.is_agent(c)]
        consented = all(
            any(since <= now < until for since, until in judge.consented(c.uniqueid))
            for c in outside
        )
        paused = judge.is_paused(recorder) or any(a <= now < b for a, b in judge.paused(recorder))
        audible = not recorder.muted
        if not audible and channel.bridge is not None and channel.bridge.holding:
            continue  # a list of channels does not say that they do not hear each other
        if audible != (consented and not paused):
            found.append(
                f"the recording on {channel.name} is {'heard' if audible else 'silent'}, with "
                f"{sorted(c.name for c in heard)}, consented: {consented}, paused: {paused}"
            )
    return found
