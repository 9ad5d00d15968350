"""Logging in to the manager: a challenge first, the bare secret only where nobody listens."""

import hashlib

from callguard.ami.connection import Connection
from callguard.ami.errors import AmiRefused, LoginRefused
from callguard.ami.settings import AmiSettings


async def log_in(connection: Connection, settings: AmiSettings) -> None:
    """Logs in with ``settings`` on a fresh connection. The caller bounds the time.

    Raises LoginRefused when Asterisk says no or would have the secret in the clear; AmiDown
    and AmiTimeout as any action does.
    """
    challenge = await _challenge(connection, settings)
    if challenge:
        proof = [("AuthType", "MD5"), ("Key", challenge_key(challenge, settings.secret))]
    elif settings.may_log_in_plainly:
        proof = [("Secret", settings.secret)]
    else:
        raise LoginRefused(
            "no MD5 challenge is offered, and the secret is not sent in the clear"
            " (use TLS, or set allow_plain)"
        )
    try:
        await connection.action(
            "Login",
            ("Username", settings.username),
            *proof,
            ("Events", settings.events),
            timeout=settings.login_timeout,
        )
    except AmiRefused as error:
        raise LoginRefused(error.message.get("Message") or "no reason given") from None


def challenge_key(challenge: str, secret: str) -> str:
    """The answer to an AuthType MD5 challenge (``authenticate`` in ``main/manager.c``)."""
    return hashlib.md5((challenge + secret).encode(), usedforsecurity=False).hexdigest()


async def _challenge(connection: Connection, settings: AmiSettings) -> str | None:
    try:
        answer = await connection.action(
            "Challenge", ("AuthType", "MD5"), timeout=settings.login_timeout
        )
    except AmiRefused:
        return None
    return answer.get("Challenge")
