"""Which call records a command means, as it is typed."""

from typing import Annotated

import typer
from sqlalchemy import Connection

from callguard.cdr.reading import Wanted
from callguard.cli.arguments import maybe, read_tenant, subject_of
from callguard.cli.surroundings import CommandError, require_tenant
from callguard.policy.numbers import key_of
from callguard.recording.playback.access import read_ground

FromOption = Annotated[
    str | None,
    typer.Option("--from", help="Calls that ended from then on: 2026-11-01, or with a time."),
]
ToOption = Annotated[str | None, typer.Option("--to", help="Calls that ended before then.")]
CallOption = Annotated[str, typer.Option(help="Only of this call.")]
NumberOption = Annotated[str, typer.Option(help="Only of this number.")]
DirectionOption = Annotated[str, typer.Option(help="Only outbound, or inbound.")]
PurposeOption = Annotated[str, typer.Option(help="Only of this purpose.")]
CampaignOption = Annotated[str, typer.Option(help="Only of this campaign.")]
AgentOption = Annotated[str, typer.Option(help="Only of this agent.")]
GroundOption = Annotated[
    str,
    typer.Option(
        help="Why numbers that are only stored may be seen: consent, legal-claim or protection."
    ),
]
HeldOption = Annotated[
    bool, typer.Option("--held", help="Also what has expired and is held; needs a reason.")
]
DispositionOption = Annotated[str, typer.Option(help="Only ANSWERED, BUSY, NO ANSWER and so on.")]


def read_wanted(
    connection: Connection,
    home_region: str,
    tenant: str | None,
    since: str | None,
    until: str | None,
    *,
    number: str,
    ground: str,
    held: bool,
    **narrow: str,
) -> Wanted:
    """The records that are meant; numbers are read as the tenant would dial them, or in the
    operator's region. Raises CommandError, AccessError."""
    if tenant is not None:
        require_tenant(connection, tenant)
    begin, end = maybe(since), maybe(until)
    if begin is not None and end is not None and begin >= end:
        raise CommandError(f"nothing ends from {since} on and before {until}")
    key = ""
    if number and tenant is not None:
        key = subject_of(number, read_tenant(connection, tenant))
    elif number:
        key = key_of(number, home_region)
        if not key:
            raise CommandError(f"{number!r} is no telephone number")
    return Wanted(tenant, begin, end, number=key, held=held, ground=read_ground(ground), **narrow)
