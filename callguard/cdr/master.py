"""A line of ``Master.csv``, which Asterisk writes by itself (``cdr_csv``). Pure.

It has whole seconds, of the clock on the wall or of UTC (``usegmtime``). Of its further columns
``loguniqueid`` is needed, since without it no record could be told from another;
``loguserfield`` brings the call id, ``newcdrcolumns`` the linked id and the sequence.
"""

import re
from datetime import tzinfo

from callguard.cdr.record import COLUMNS, CallRecord, RecordError, build

_TEXT = r'"(?:[^"]|"")*"'
_LINE = re.compile(
    rf"(?P<texts>(?:{_TEXT},){{9}})(?P<times>(?:(?:{_TEXT})?,){{3}})"
    rf"(?P<duration>-?[0-9]{{1,10}}),(?P<billsec>-?[0-9]{{1,10}}),(?P<said>{_TEXT},{_TEXT})"
    rf"(?P<further>(?:,{_TEXT}){{0,4}})(?:,(?P<sequence>-?[0-9]{{1,10}}))?"
)
"""Texts are quoted and numbers are not, so nobody makes up a column by what a text holds."""

_FIELD = re.compile(rf"(?:{_TEXT})?(?=,|\Z)")
_UNIQUE_ID = re.compile(r"(?:.{1,135}-)?[0-9]{9,11}\.[0-9]{1,10}")
_NAMES = COLUMNS[:9]


def from_master(line: str, zone: tzinfo) -> CallRecord:
    """Reads one line, whose times are those of ``zone``. Raises RecordError."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise RecordError("no line of Master.csv")
    fields = dict(zip(_NAMES, _texts(found["texts"][:-1]), strict=True))
    fields |= dict(zip(("start", "answer", "end"), _texts(found["times"][:-1]), strict=True))
    fields |= dict(zip(("disposition", "amaflags"), _texts(found["said"]), strict=True))
    fields |= {"duration": found["duration"], "billsec": found["billsec"]}
    fields |= {"uniqueid": "", "userfield": "", "linkedid": "", "sequence": ""}
    further = _texts(found["further"][1:]) if found["further"] else []
    if found["sequence"] is not None:
        if len(further) < 2:
            raise RecordError("no line of Master.csv")
        fields["sequence"] = found["sequence"]
        *further, fields["peeraccount"], fields["linkedid"] = further
    if len(further) > 2:
        raise RecordError("no line of Master.csv")
    if further and _UNIQUE_ID.fullmatch(further[0]):
        fields["uniqueid"] = further.pop(0)
    if not fields["uniqueid"]:
        raise RecordError("no unique id: cdr.conf has no loguniqueid")
    if further:
        fields["userfield"] = further[0]
    return build(fields, "file", zone)


def _texts(columns: str) -> list[str]:
    """The columns between commas, without their quotes."""
    found, at = [], 0
    while True:
        field = _FIELD.match(columns, at)
        if field is None:
            raise RecordError("no line of Master.csv")
        found.append(field[0][1:-1].replace('""', '"'))
        at = field.end() + 1
        if at > len(columns):
            return found
