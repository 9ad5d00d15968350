"""May this reading of a recording happen? Pure.

Who may what:

| Role | Of | May |
|---|---|---|
| operator | all tenants | everything |
| tenant_admin | its own tenant | everything |
| supervisor | its own tenant | see what there is, verify, play; take no file away |
| auditor | all tenants | see what there is, verify; never hear |

Whatever is of another tenant is, for those of one tenant, as if it did not exist. So is, for
everybody, what has expired, unless a hold keeps it: then the operator reads it, the auditor sees
and verifies it, and nobody else does either. A hold opens nothing that would be closed without it;
a reading under one names it in the audit log.

Whoever hears a recording or takes it away says why. Seeing that it is there and verifying it need
no reason: nobody hears it then, and proving that what is stored is whole belongs to storing it.

Where the subject has had processing restricted, personal data are only stored, but for the grounds
of GDPR art. 18(2), one of which the reading has to name. Where it cannot be told whose voice it is,
it counts as restricted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, get_args

Role = Literal["operator", "tenant_admin", "supervisor", "auditor"]
Form = Literal["metadata", "verify", "playback", "wav", "age"]
"""``metadata`` is that it is there and what is known of it, ``playback`` and ``wav`` what can be
heard, ``age`` the sealed file, to be taken away."""

Ground = Literal["consent", "legal-claim", "protection"]
"""GDPR art. 18(2): the subject consents; legal claims are made or defended; the rights of another
person are protected."""

OwnKey = Literal["here", "destroyed", "none"]
"""Whether an identity of the tenant is held here."""

ROLES: tuple[Role, ...] = get_args(Role)
GROUNDS: tuple[Ground, ...] = get_args(Ground)

MAX_REASON = 500
"""Characters of a reason."""

MAX_ACTOR = 128

_HEARING: tuple[Form, ...] = ("playback", "wav")
READING: tuple[Form, ...] = ("playback", "wav", "age")
_FORMS: dict[Role, tuple[Form, ...]] = {
    "operator": get_args(Form),
    "tenant_admin": get_args(Form),
    "supervisor": ("metadata", "verify", "playback"),
    "auditor": ("metadata", "verify"),
}
_OF_ALL_TENANTS: tuple[Role, ...] = ("operator", "auditor")
_IN_WORDS: dict[Form, str] = {
    "metadata": "see recordings",
    "verify": "verify recordings",
    "playback": "hear recordings",
    "wav": "take recordings away as audio",
    "age": "take recordings away",
}
_NO_AUDIO: dict[str, str] = {
    "recording": "is still in progress: it can be read once it is sealed",
    "empty": "is empty: nothing was said before it ended",
    "lost": "is lost: its audio went before it could be sealed",
    "delivered": "is kept by the tenant: it was delivered, and nothing of it is here",
}
_STEERING = frozenset(map(chr, (*range(0x2028, 0x202F), *range(0x2066, 0x206A))))
"""What turns the order of what stands beside it round, or breaks the line."""


class AccessError(ValueError):
    """A reader or a reason that cannot be; one line that says why."""


class Why(StrEnum):
    """Of what sort a refusal is."""

    ABSENT = "absent"
    """There is none, as far as this reader may know."""

    ERASED = "erased"
    ROLE = "role"
    REASON = "reason"
    STATE = "state"
    RESTRICTED = "restricted"
    KEY = "key"
    """Nothing here opens it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reading that does not happen, and one line that says why."""

    why: Why
    line: str


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads. ``tenant`` is whose supervisor or administrator it is."""

    actor: str
    role: Role = "operator"
    tenant: str | None = None

    def __post_init__(self) -> None:
        if (self.tenant is None) != (self.role in _OF_ALL_TENANTS):
            needs = "is of all tenants" if self.tenant else "is of one tenant: name it"
            raise AccessError(f"the role {self.role} {needs}")

    def may_see(self, tenant: str) -> bool:
        """Whether it may know of recordings of that tenant."""
        return self.tenant is None or self.tenant == tenant

    @property
    def sees_expired(self) -> bool:
        """Whether it may know of what has expired and is held."""
        return self.role in _OF_ALL_TENANTS


@dataclass(frozen=True, slots=True)
class Asked:
    """A reading that somebody asks for."""

    reader: Reader
    form: Form
    reason: str = ""
    ground: Ground | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules ask of a recording. ``holds`` are the ids of those that keep it;
    ``restricted`` is None where it cannot be told whose voice it is."""

    tenant: str
    state: str
    expires_at: datetime | None
    holds: Sequence[str]
    restricted: bool | None
    own_key: OwnKey


def read_role(actor: str, text: str) -> Reader:
    """The reader that ``ROLE`` or ``ROLE:TENANT`` means. Raises AccessError."""
    name, colon, tenant = text.partition(":")
    for role in ROLES:
        if role == name and bool(colon) == bool(tenant):
            return Reader(actor, role, tenant or None)
    raise AccessError(f"{text[:80]!r} is no role: {', '.join(ROLES)}, or one with :TENANT")


def read_ground(text: str) -> Ground | None:
    """The ground of that name; None for an empty one. Raises AccessError."""
    for ground in GROUNDS:
        if ground == text:
            return ground
    if text:
        raise AccessError(f"{text[:40]!r} is no ground: {', '.join(GROUNDS)}")
    return None


def fault_of_reason(reason: str) -> str | None:
    """What is wrong with a reason; None where nothing is."""
    if not any(map(str.isalnum, reason)):
        return "reading a recording needs a reason"
    if len(reason) > MAX_REASON:
        return f"a reason has at most {MAX_REASON} characters"
    if not is_plain(reason):
        return "a reason is one line of plain text"
    return None


def is_plain(text: str) -> bool:
    """Whether it neither steers a terminal nor turns round what stands beside it."""
    return not any(
        char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" or char in _STEERING
        for char in text
    )


def refusal(asked: Asked, recording: str, facts: Facts | None, now: datetime) -> Refusal | None:
    """Why the reading does not happen; None where it may."""
    if facts is None or not _is_there(asked.reader, facts, now):
        return Refusal(Why.ABSENT, f"there is no recording {recording}")
    if asked.form not in _FORMS[asked.reader.role]:
        return Refusal(Why.ROLE, f"a reader of role {asked.reader.role} may not "
                       f"{_IN_WORDS[asked.form]}")  # fmt: skip
    if asked.form in READING and (fault := fault_of_reason(asked.reason)):
        return Refusal(Why.REASON, fault)
    if asked.form == "metadata":
        return None
    if facts.state == "erasing":
        return Refusal(Why.ERASED, f"recording {recording} has been erased")
    if facts.state != "sealed":
        missing = _NO_AUDIO.get(facts.state, f"cannot be read: {facts.state}")
        return Refusal(Why.STATE, f"recording {recording} {missing}")
    if asked.form in READING and facts.restricted is not False and asked.ground is None:
        return Refusal(Why.RESTRICTED, _restricted(facts, recording))
    if asked.form in _HEARING and facts.own_key != "here":
        return Refusal(Why.KEY, _no_key(facts, recording))
    return None


def _is_there(reader: Reader, facts: Facts, now: datetime) -> bool:
    if not reader.may_see(facts.tenant):
        return False
    expired = facts.expires_at is not None and facts.expires_at <= now
    return not expired or (bool(facts.holds) and reader.sees_expired)


def _restricted(facts: Facts, recording: str) -> str:
    why = "the subject has had processing restricted"
    if facts.restricted is None:
        why = "it cannot be told whose voice it is, nor whether processing is restricted"
    return f"recording {recording} is only stored ({why}): name a ground, {', '.join(GROUNDS)}"


def _no_key(facts: Facts, recording: str) -> str:
    if facts.own_key == "destroyed":
        return f"recording {recording} cannot be opened here: the tenant's key was destroyed"
    return (
        f"recording {recording} cannot be opened here: only the tenant holds the key; "
        "export the sealed file instead"
    )
