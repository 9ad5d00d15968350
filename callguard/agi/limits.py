"""What one AGI peer may ask of us, in counts, bytes and seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AgiLimits:
    """Bounds of the AGI server.

    ``header_timeout`` (seconds) runs from the connection to the last byte of the environment,
    whatever trickles in between. ``reply_timeout`` (seconds) is the whole wait for one reply
    where a verb is given none of its own. ``close_timeout`` (seconds) is how long unsent bytes
    may keep a socket open after its session.
    """

    max_sessions: int = 1024
    header_timeout: float = 5.0
    header_bytes: int = 65536
    reply_timeout: float = 60.0
    line_bytes: int = 8192
    block_bytes: int = 65536
    close_timeout: float = 5.0
    backlog: int = 512
