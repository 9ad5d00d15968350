"""The instant at which a record must be gone. Pure."""

from datetime import datetime, timedelta


def expires_at(since: datetime, days: int) -> datetime:
    """The instant ``days`` days of 24 hours after ``since``, or the last one that the calendar has;
    from it on the record is hidden."""
    try:
        return since + timedelta(days=days)
    except OverflowError:
        return datetime.max.replace(tzinfo=since.tzinfo)
