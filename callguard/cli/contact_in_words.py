"""A contact as somebody reads it."""

from datetime import datetime

from callguard.contacts.contact import Contact


def lines(subject: str, contact: Contact) -> list[str]:
    """Everything that is known of a subject, a line for each thing."""
    where = [part for part in (contact.region, contact.subdivision, contact.zone) if part]
    told = [
        *([f"place: {', '.join(where)}"] if where else []),
        *([f"kind: {contact.kind}"] if contact.kind != "unknown" else []),
        *(f"{tie.kind}: {_span(tie.since, tie.until)}" for tie in contact.relationships),
        *(
            f"refused: {_said(no.at)}{f', campaign {no.campaign}' if no.campaign else ''}"
            for no in contact.refusals
        ),
        *(
            f"consent to {given.purpose}: {_span(given.granted_at, given.until)}"
            for given in contact.consents
        ),
    ]
    if contact.restricted_since is not None:
        told.append(f"restricted: since {_said(contact.restricted_since)}")
    return [f"subject: {subject}", *(told or ["nothing is known"])]


def _span(since: datetime, until: datetime | None) -> str:
    if until == since:
        return _said(since)
    return f"since {_said(since)}" + (f" until {_said(until)}" if until else "")


def _said(moment: datetime) -> str:
    return (
        f"{moment:%Y-%m-%d}"
        if not (moment.hour or moment.minute)
        else (f"{moment:%Y-%m-%d %H:%M} UTC")
    )
