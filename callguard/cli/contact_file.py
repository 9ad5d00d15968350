"""A CSV file of contacts, a line at a time: what is wrong with one spoils no other."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, get_args

from callguard.cli.arguments import subject_of
from callguard.cli.surroundings import CommandError
from callguard.contacts.contact import Contact, ContactError
from callguard.policy.area_codes import codes_of
from callguard.policy.facts import SubjectKind
from callguard.policy.scope import is_subdivision
from callguard.tenants.tenant import Tenant

COLUMNS = ("number", "region", "subdivision", "zone", "kind")
KINDS: tuple[SubjectKind, ...] = get_args(SubjectKind)

MAX_LINE = 4_096
"""Longest line, in bytes."""
