"""What Asterisk says of the call before the first command."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import unquote

from callguard.agi.wire import RemoteProtocolError


@dataclass(frozen=True, slots=True)
class AgiEnvironment:
    """The ``agi_…`` values of one session and the request they name.

    ``request`` is the path of ``agi://host:4573/outbound?tenant=a`` without its slash
    (``outbound``), ``query`` its parameters, percent-decoded. A plus sign stands for itself, as
    in Asterisk's ``URIENCODE``, so that ``number=+49…`` keeps its meaning even unencoded.
    Neither values nor query appear in ``repr``: they hold telephone numbers.
    """

    values: Mapping[str, str] = field(repr=False)
    request: str
    query: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> "AgiEnvironment":
        """Reads the request out of ``values``.

        ``RemoteProtocolError`` where a query parameter comes twice: somebody has dialled an
        ampersand into an unencoded number, and no reading of it would be the safe one.
        """
        script = values.get("agi_network_script")
        if script is None:
            url = values.get("agi_request", "")
            script = url.partition("://")[2].partition("/")[2] if "://" in url else url
        path, _, text = script.partition("?")
        query: dict[str, str] = {}
        for parameter in text.split("&") if text else ():
            key, _, value = parameter.partition("=")
            key = unquote(key)
            if key in query:
                raise RemoteProtocolError("a parameter of the request comes twice")
            query[key] = unquote(value)
        return cls(MappingProxyType(dict(values)), unquote(path).lstrip("/"), query)

    @property
    def uniqueid(self) -> str:
        """The channel's unique id (``agi_uniqueid``)."""
        return self.values.get("agi_uniqueid", "")

    @property
    def channel(self) -> str:
        """The channel's name (``agi_channel``)."""
        return self.values.get("agi_channel", "")

    @property
    def version(self) -> str:
        """Asterisk's own version (``agi_version``), which distributions lengthen."""
        return self.values.get("agi_version", "")

    @property
    def callerid(self) -> str:
        """The caller's number (``agi_callerid``); empty where Asterisk says ``unknown``."""
        number = self.values.get("agi_callerid", "")
        return "" if number == "unknown" else number

    @property
    def extension(self) -> str:
        """The extension that ran AGI (``agi_extension``)."""
        return self.values.get("agi_extension", "")

    @property
    def language(self) -> str:
        """The channel's language (``agi_language``)."""
        return self.values.get("agi_language", "")

    @property
    def context(self) -> str:
        """The dialplan context that ran AGI (``agi_context``)."""
        return self.values.get("agi_context", "")
