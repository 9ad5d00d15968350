"""Fixtures of a database with the whole schema and one tenant. Imported by the rooms' conftests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from callguard.retention.erasures.ledger import ErasureLedger
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import TenantSettings
from tests.clock import HandClock
from tests.schema import upgrade


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database of today's schema."""
    opened = Database(f"sqlite:///{tmp_path / 'callguard.db'}")
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
async def journal(database: Database, clock: HandClock) -> AsyncIterator[Journal]:
    started = Journal(database, clock)
    started.start()
    yield started
    await started.close()


def ledger_of(database: Database) -> ErasureLedger:
    """The erasure ledger beside a database."""
    assert database.url.database is not None
    return ErasureLedger(Path(database.url.database).with_name("erasures.ledger"))


def add_tenant(database: Database, clock: HandClock, tenant_id: str = "acme") -> None:
    """A tenant in Britain with a key nobody can use."""
    own = OwnKey("pq", "age1pq1unused", b"unused")
    with database.writing() as connection:
        new = NewTenant(tenant_id, tenant_id.title(), TenantSettings(), own)
        add(connection, new, at=clock.now(), actor="test")


@pytest.fixture
def tenant(database: Database, clock: HandClock) -> str:
    """The id of a tenant that is there."""
    add_tenant(database, clock)
    return "acme"
