"""Channels and bridges as AMI tells of them, and a plain model of who hears whom."""

from dataclasses import dataclass, field
from typing import Self

from hypothesis import strategies as st

from callguard.ami.calls import Channel, LiveCalls
from callguard.ami.wire import Message
from callguard.consent.states import ConsentState
from callguard.gate.hearing import Kind, Trunks, hearing, is_technical, reasons_for_silence
from callguard.gate.told import Told

TRUNKS = Trunks(("PJSIP/carrier", "DAHDI/*"))
GRANTED, REFUSED = ConsentState.GRANTED, ConsentState.REFUSED
LOCAL = "Local/600@inside-00000001"


@dataclass
class Scene:
    """Channels as AMI tells of them; ``told`` is what the ledger says, by channel."""

    live: LiveCalls = field(default_factory=LiveCalls)
    told: dict[str, Told] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    linked: dict[str, str] = field(default_factory=dict)

    def says(self, event: str, uniqueid: str, *headers: tuple[str, str]) -> None:
        self.hears(Message((("Event", event), *self.shown(uniqueid), *headers)))

    def hears(self, message: Message) -> None:
        self.live.apply(message, 0.0)

    def shown(self, uniqueid: str, prefix: str = "") -> list[tuple[str, str]]:
        """The headers that show one channel."""
        return [
            (f"{prefix}Channel", self.names[uniqueid]),
            (f"{prefix}Uniqueid", uniqueid),
            (f"{prefix}Linkedid", self.linked[uniqueid]),
            (f"{prefix}ChannelState", "6"),
        ]

    def comes(self, uniqueid: str, name: str, linkedid: str = "1") -> Self:
        self.names[uniqueid], self.linked[uniqueid] = name, linkedid
        self.says("Newchannel", uniqueid)
        return self

    def enters(self, bridge: str, *uniqueids: str, technology: str = "simple_bridge") -> Self:
        for uniqueid in uniqueids:
            where = (("BridgeUniqueid", bridge), ("BridgeTechnology", technology))
            self.says("BridgeEnter", uniqueid, *where)
        return self

    def dials(self, uniqueid: str, called: str) -> Self:
        self.says("DialBegin", uniqueid, *self.shown(called, "Dest"))
        return self

    def is_told(self, uniqueid: str, state: ConsentState = GRANTED, tenant: str = "a") -> Self:
        self.told[uniqueid] = Told(tenant, "call", "+4420", state)
        return self

    def kind(self, channel: Channel) -> Kind:
        if channel.pair is not None or is_technical(channel.name):
            return Kind.TECHNICAL
        outside = channel.uniqueid in self.told or TRUNKS.has(channel.name)
        return Kind.OUTSIDE if outside else Kind.INSIDE

    def why(self, uniqueid: str, tenant: str | None = "a", *joining: str) -> set[str]:
        heard = hearing(self.live, uniqueid, joining)
        return set(reasons_for_silence(heard, self.kind, self.told.get, tenant))


CHANNELS = {
    "a1": "PJSIP/agent1-1",
    "a2": "PJSIP/agent2-2",
    "t1": "PJSIP/carrier-3",
    "t2": "PJSIP/carrier-4",
    "t3": "DAHDI/1-1",
    "l1": f"{LOCAL};1",
    "l2": f"{LOCAL};2",
    "n1": "CBAnn/600-1",
}
BRIDGES = ["x", "y", "p"]

channel = st.sampled_from(sorted(CHANNELS))
STEPS = st.one_of(
    st.tuples(st.just("comes"), channel, st.sampled_from(["1", "9"])),
    st.tuples(st.just("enters"), channel, st.sampled_from(BRIDGES)),
    st.tuples(st.just("leaves"), channel, st.just("")),
    st.tuples(st.just("ends"), channel, st.just("")),
    st.tuples(st.just("dials"), channel, channel),
    st.tuples(st.just("told"), channel, st.sampled_from(list(ConsentState))),
    st.tuples(st.just("told elsewhere"), channel, st.just("b")),
)


@dataclass
class World:
    """The same told to callguard and to a plain model of its own: who is in which bridge."""

    scene: Scene = field(default_factory=Scene)
    here: dict[str, str] = field(default_factory=dict)
    bridge: dict[str, str] = field(default_factory=dict)
    lives: int = 0
    touched: set[str] = field(default_factory=set)

    def step(self, what: str, who: str, with_what: str) -> None:
        if what == "comes":
            if who not in self.here:
                self.lives += 1
                self.here[who] = f"{who}.{self.lives}"  # a channel never comes back
                self.scene.comes(self.here[who], CHANNELS[who], with_what)
        elif who not in self.here:
            return
        elif what == "enters":
            self._leaves(who)
            self.bridge[who] = with_what
            kind = "holding_bridge" if with_what == "p" else "simple_bridge"
            self.scene.enters(with_what, self.here[who], technology=kind)
        elif what == "leaves":
            self._leaves(who)
        elif what == "ends":
            self.bridge.pop(who, None)
            uniqueid = self.here.pop(who)
            self.scene.says("Hangup", uniqueid, ("Cause", "16"))
        elif what == "dials" and with_what in self.here:
            self.scene.dials(self.here[who], self.here[with_what])
        elif what.startswith("told"):
            state = ConsentState(with_what) if what == "told" else GRANTED
            self.scene.is_told(self.here[who], state, "a" if what == "told" else "b")
            self.touched.add(self.here[who])

    def _leaves(self, who: str) -> None:
        bridge = self.bridge.pop(who, None)
        if bridge is not None:
            self.scene.says("BridgeLeave", self.here[who], ("BridgeUniqueid", bridge))

    def voices(self, who: str) -> set[str]:
        """Whom a recording on a channel hears, by the model."""
        heard = {who}
        while True:
            more = {
                other
                for one in heard
                for other in self.here
                if (self.bridge.get(one) not in (None, "p"))
                and self.bridge.get(one) == self.bridge.get(other)
            }
            more |= {half for half in ("l1", "l2") if half in self.here and {"l1", "l2"} & heard}
            if more <= heard:
                return heard
            heard |= more

    def agreed(self, who: str) -> bool:
        if who[0] in "ln":
            return True
        told = self.scene.told.get(self.here[who])
        if told is None:
            return who[0] == "a"
        return told.state is GRANTED and told.tenant == "a"
