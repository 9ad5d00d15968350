"""The web room put together: the page, and every door of the API."""

from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path

from callguard.config import Settings
from callguard.gate.preflight import Preflight
from callguard.gate.room import Gate
from callguard.overview import Overview
from callguard.tenants.keeping import kept_until
from callguard.vault import Vault
from callguard.web.api import CheckApi
from callguard.web.app import WebServer
from callguard.web.call_api import CallApi
from callguard.web.call_page import CallDesk
from callguard.web.call_record_api import CallRecordApi
from callguard.web.hold_api import HoldApi
from callguard.web.opt_out_api import OptOutApi
from callguard.web.opt_out_page import OptOutDesk
from callguard.web.recording_api import RecordingApi
from callguard.web.scrub_api import CommandScrubber, ScrubApi
from callguard.web.scrub_jobs import ScrubJobs
from callguard.web.sms import SmsDoor


class WebRoom:
    """One port behind which everything is that is asked over HTTP."""

    def __init__(
        self,
        settings: Settings,
        gate: Gate,
        vault: Vault,
        overview: Overview,
        preflight: Preflight,
        config: Path | None,
    ) -> None:
        """``config`` is the file of the settings, for scrubs, which are processes of their own."""
        clock, database, journal = gate.clock, gate.database, gate.journal
        token, durable_s = settings.api_token, settings.limits.durable_s
        self._tenants = gate.tenants
        self._scrubs = ScrubJobs(
            settings.scrub_folder,
            settings.scrubs,
            database,
            journal,
            clock,
            CommandScrubber(config),
            durable_s,
            self._list_kept,
        )
        self._recordings = RecordingApi(
            clock, database, journal, vault.store, vault.keyring.identities, token, durable_s
        )
        self._call_records = CallRecordApi(
            clock, database, journal, token, settings.home_region, durable_s
        )
        self._server = WebServer(
            overview,
            clock=clock,
            api=CheckApi(preflight, token),
            more=(
                OptOutApi(gate, token),
                CallApi(gate, overview, token),
                HoldApi(gate, token),
                SmsDoor(gate, settings.sms, settings.sms_token),
                ScrubApi(gate, self._scrubs, token),
                self._recordings,
                self._call_records,
            ),
            desk=OptOutDesk(gate),
            call_desk=CallDesk(gate),
        )

    async def start(self, host: str, port: int) -> int:
        """The bound port; 0 asks for any. Raises OSError where the address cannot be had."""
        return await self._server.start(host, port)

    async def close(self) -> None:
        """Stops listening, and waits a little for answers under way."""
        await self._server.close()
        self._recordings.close()
        self._call_records.close()

    def work(self) -> list[Coroutine[None, None, None]]:
        """What runs for as long as the service does."""
        return [self._scrubs.run()]

    def _list_kept(self, tenant_id: str, at: datetime) -> datetime | None:
        """Until when a tenant keeps a list of that moment, where it chose that."""
        tenant = self._tenants.get(tenant_id)
        chose = tenant is not None and "list" in tenant.retention
        return kept_until(tenant, "list", at) if chose else None
