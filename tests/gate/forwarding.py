"""A house whose operator passes calls on: one channel goes through the gate twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.harness.playbook import Call, Pbx
from tests.house import DID, NOTICE, PARTY, PROMPTS, House, furnish, serving

DIALPLAN = Path(__file__).with_name("forward.conf")


@asynccontextmanager
async def forwarding_house(folder: Path) -> AsyncIterator[House]:
    settings, identity = furnish(folder)
    pbx = Pbx(_nobody, folder=folder, folders={PROMPTS: folder / "prompts"}, operator=DIALPLAN)
    async with pbx, serving(settings, pbx) as service:
        yield House(service, pbx, folder, identity)


async def forwarded_call(home: House) -> Call:
    """Somebody calls in, hears the notice, is passed on to the outside, where the notice is heard
    too; both are connected."""
    call = home.pbx.inbound(PARTY, did=DID)
    await call.hears_all(NOTICE)
    onward = Call(home.pbx, call.channel, outbound=True)
    await onward.carrier_answers()
    await call.is_connected()
    return call


async def _nobody(*_: object) -> None:
    raise AssertionError("the service does not serve yet")
