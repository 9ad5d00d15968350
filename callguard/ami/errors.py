"""What an action can fail with."""

from callguard.ami.wire import Message


class AmiError(Exception):
    """An action had no good answer."""


class AmiDown(AmiError):  # noqa: N818 - a state of the connection, not a kind of mistake
    """There is no connection, or it went away before the answer came.

    Whether Asterisk carried the action out is unknown when the connection went away.
    """


class AmiTimeout(AmiError):  # noqa: N818 - asyncio names its own so
    """No answer came in time; whether Asterisk carried the action out is unknown."""


class AmiRefused(AmiError):  # noqa: N818 - an answer, not a mistake
    """Asterisk answered ``Response: Error``; ``message`` is that answer."""

    def __init__(self, action: str, message: Message) -> None:
        super().__init__(f"{action}: {message.get('Message') or 'refused without a reason'}")
        self.action = action
        self.message = message


class LoginRefused(AmiError):  # noqa: N818 - an answer, not a mistake
    """The login did not succeed and will not until somebody changes a setting."""
