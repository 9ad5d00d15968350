"""The chain of a call as an auditor reads it, and the same for a machine."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from callguard.consent.chain import (
    Chain,
    Decided,
    Happened,
    Link,
    OptedOut,
    Telling,
)
from callguard.consent.modes import ABOUT_RECORDING
from callguard.consent.statement import Statement, Stretch
from callguard.consent.states import ConsentState
from callguard.policy.numbers import mask
from callguard.policy.tables import plain

INDENT = " " * 4


def lines(chain: Chain, statement: Statement) -> list[str]:
    """A line and what belongs to it for each link; the statement last."""
    names = {recording.id: n for n, recording in enumerate(chain.recordings, 1)}
    told = [f"call {chain.call}"]
    for link in chain.links():
        head, *rest = _in_words(link, chain, names)
        told += [f"{moment(link.at)}  {head}", *(INDENT + line for line in rest if line)]
    if chain.decided is None:
        told.append("note: the verdict is no longer kept")
    told += [
        f"linked: call {call.id}, {call.direction}, {mask(call.subject)}, {call.verdict}"
        for call in chain.linked
    ]
    told += [f"note: {doubt}" for doubt in statement.doubts]
    return [plain(line) for line in (*told, *_statement(statement, names))]


def as_value(chain: Chain, statement: Statement) -> dict[str, object]:
    """The same, for a machine."""
    return {
        "call": chain.call,
        "links": [_link_value(link) for link in chain.links()],
        "recordings": [_json(asdict(recording)) for recording in chain.recordings],
        "linked": [_json(asdict(call) | {"subject": mask(call.subject)}) for call in chain.linked],
        "consent": {
            "stood": statement.holds,
            "recordings": statement.recordings,
            "audible_ms": _ms(statement.audible),
            "without": [
                {**_json(asdict(part)), "length_ms": _ms(part.length)} for part in statement.without
            ],
            "doubts": list(statement.doubts),
        },
    }


def moment(at: datetime) -> str:
    """To the millisecond, which is what the order of evidence turns on."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _in_words(link: Link, chain: Chain, names: Mapping[str, int]) -> list[str]:
    match link:
        case Decided():
            return _decided(link, chain.tellings)
        case Telling():
            return _told(link, chain)
        case Happened():
            return _happened(link, names, chain)
        case OptedOut():
            return _opted_out(link)


def _decided(link: Decided, tellings: Sequence[Telling]) -> list[str]:
    what = ", ".join(filter(None, (link.direction, link.purpose, link.tenant)))
    duties = ", ".join(duty.replace("_", " ") for duty in link.obligations)
    must = f"; the call must: {duties}" if duties else ""
    asked = asking(link.findings, tellings)
    return [
        f"verdict {link.verdict} on {what}, {mask(link.subject)}{must}",
        *(f"rule {_rule(finding)}: {finding.get('reason')}" for finding in asked),
    ]


def asking(
    findings: Sequence[Mapping[str, object]], tellings: Sequence[Telling]
) -> list[Mapping[str, object]]:
    """The findings of the rules about recording, and of those that asked for what was said."""
    ids = {rule.partition(":")[0] for told in tellings for rule in told.rules}
    return [one for one in findings if one.get("rule") in ids or _about_recording(one)]


def _about_recording(finding: Mapping[str, object]) -> bool:
    """Whether a rule laid down how the call is recorded; of a verdict of an older version, which
    does not say, whether it demanded anything."""
    duties = finding.get("obligations")
    if not isinstance(duties, list):
        return finding.get("outcome") == "require"
    return not ABOUT_RECORDING.isdisjoint(duties)


def _rule(finding: Mapping[str, object]) -> str:
    unverified = "" if finding.get("status") == "verified" else ", status unverified"
    return f"{finding.get('rule')} ({finding.get('citation')}{unverified})"


def _told(link: Telling, chain: Chain) -> list[str]:
    where = f" on {link.pbx} {link.channel}" if link.channel else ""
    who = f"{mask(link.subject)}{where}"
    mode = f", mode {link.mode}" if link.mode else ""
    other = f", in call {link.call}" if link.call not in (None, chain.call) else ""
    if link.call is None:
        what = "withdrawn" if link.state is ConsentState.WITHDRAWN else f"{link.state.value} before"
        by = f", entered by {link.actor}" if link.actor else ""
        until = f", until {moment(link.until)}" if link.until else ""
        return [f"{what} elsewhere: {who}{until}{by}", f"consent:{link.id}: {link.proof or ''}"]
    return [
        f"{link.state.value.upper()}: {who}{mode}{other}",
        *_prompt(link),
        _ground(link),
        f"good until {moment(link.until)}" if link.until else "",
        *(f"asked for by {rule}" for rule in link.rules),
    ]


def _ground(link: Telling) -> str:
    """What it rests on, or who entered it and how it was said."""
    if link.rests_on and link.state is ConsentState.GRANTED:
        return f"rests on {link.proof}"
    return ": ".join(filter(None, (link.actor and f"by {link.actor}", link.proof)))


def _prompt(link: Telling) -> list[str]:
    if link.prompt is None:
        return []
    if link.prompt == "none":
        return ["no prompt could be played"]
    asked = 1 if link.asked is None else link.asked  # a row of an older version
    played = f"played {asked} time{'s' * (asked != 1)}"
    answer = f"answer {link.answer}" if link.answer else "no digit"
    heard = f"heard {link.heard_ms} of {link.length_ms} ms, {played}, {answer}"
    words = link.words
    return [
        f"prompt {link.prompt}",
        f"language {link.language}; {heard}",
        f"words: {words}" if words else "words: not kept, the row is of an older version",
    ]


def _happened(link: Happened, names: Mapping[str, int], chain: Chain) -> list[str]:
    number = names.get(link.recording, 0)
    reason = f": {link.reason}" if link.reason else ""
    head = f"recording {number} {link.kind} by {link.by}{reason}"
    if link.kind != "started":
        return [head]
    row = next(one for one in chain.recordings if one.id == link.recording)
    where = f"; channel {row.pbx} {row.channel}" if row.channel else ""
    return [head, f"{row.id}{where}; now {row.state}"]


def _opted_out(link: OptedOut) -> list[str]:
    what = "opted out" if link.standing else "opt-out lifted"
    whom = f"of calls by {link.tenant}" if link.tenant else "of calls by all tenants"
    prompt = f"prompt {link.prompt}" if link.prompt else ""
    return [f"{what} {whom}: {mask(link.subject)}, way {link.way}, by {link.actor}", prompt]


def _statement(statement: Statement, names: Mapping[str, int]) -> list[str]:
    if not statement.recordings:
        return ["consent: nothing was recorded"]
    what = "1 recording" if statement.recordings == 1 else f"{statement.recordings} recordings"
    heard = f"{statement.audible.total_seconds():.3f} s audible in {what}"
    if statement.holds:
        return [f"consent: stood for all of it; {heard}"]
    parts = "; ".join(_part(part, names) for part in statement.without)
    return [f"consent: DID NOT STAND for all of it; {heard}; without consent: {parts}"]


def _part(part: Stretch, names: Mapping[str, int]) -> str:
    length = part.length.total_seconds()
    return f"recording {names.get(part.recording, 0)}, {length:.3f} s from {moment(part.since)}"


_WHAT = {Decided: "verdict", Telling: "consent", Happened: "recording", OptedOut: "opt_out"}


def _link_value(link: Link) -> dict[str, object]:
    value = {"what": _WHAT[type(link)], **_json(asdict(link))}
    if "subject" in value:
        value["subject"] = mask(str(value["subject"]))
    return value


def _json(value: Mapping[str, object]) -> dict[str, object]:
    return {
        name: one.isoformat(timespec="milliseconds") if isinstance(one, datetime) else one
        for name, one in value.items()
    }


def _ms(length: timedelta) -> int:
    return length // timedelta(milliseconds=1)
