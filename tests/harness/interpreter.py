"""Runs the dialplan on a channel: one priority after another, subroutines, jumps."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.harness.channels import Channel, ChannelEnded, Frame, State, Target
from tests.harness.dialplan import Dialplan, DialplanError, Step
from tests.harness.expressions import ExpressionError, evaluate
from tests.harness.functions import FUNCTIONS, ChannelNames
from tests.harness.substitution import SubstitutionError, split_arguments, substitute

if TYPE_CHECKING:
    from tests.harness.asterisk import SimulatedAsterisk

Application = Callable[["Interpreter", Channel, str], Awaitable[None]]

_MOST_STEPS = 10_000


class Interpreter:
    """The dialplan of one simulated Asterisk.

    With ``strict_expressions`` (the default) a value that breaks an expression's syntax is a
    DialplanError; without, it is as in Asterisk: a warning, and the expression is empty.
    """

    def __init__(
        self, pbx: "SimulatedAsterisk", dialplan: Dialplan, applications: dict[str, Application]
    ) -> None:
        self.pbx = pbx
        self.dialplan = dialplan
        self.strict_expressions = True
        self._applications = {name.lower(): run for name, run in applications.items()}
        dialplan.check(applications.keys(), FUNCTIONS.keys())

    def has_application(self, name: str) -> bool:
        """Whether ``EXEC name`` would find its application."""
        return name.lower() in self._applications

    async def execute(self, channel: Channel, application: str, data: str) -> None:
        """Run one application with data that was already substituted."""
        channel.application, channel.data = application, data
        self.pbx.changed()
        await self._applications[application.lower()](self, channel, data)

    def substituted(self, channel: Channel, step: Step) -> str:
        """The step's data as the application receives it."""

        def expression(text: str) -> str:
            try:
                return evaluate(text)
            except ExpressionError as error:
                if self.strict_expressions:
                    raise DialplanError(f"{step.where}: {error}") from error
                self.pbx.log("WARNING", f"{step.where}: {error}")
                return ""

        try:
            return substitute(step.data, ChannelNames(self.pbx, channel), expression)
        except SubstitutionError as error:
            raise DialplanError(f"{step.where}: {error}") from error

    async def run(self, channel: Channel) -> None:
        """The channel's own dialplan, from where it stands to its end, then extension ``h``."""
        while True:
            # A channel that was redirected before it got here begins at its new place.
            target = channel.redirect
            if target is not None:
                channel.redirect = None
                channel.frames.clear()
                self.jump(channel, target)
            with suppress(ChannelEnded):
                await self._loop(channel, 0)
            if channel.redirect is None or channel.hung_up:
                break
        await self._run_h(channel)

    async def _run_h(self, channel: Channel) -> None:
        found = self.dialplan.find(channel.context, "h")
        if found is None or found.priority("1") is None:
            return
        channel.hang_up(channel.cause or 16)
        self.jump(channel, Target(channel.context, "h"))
        with suppress(ChannelEnded):
            await self._loop(channel, 0, hanging_up=True)

    async def subroutine(self, channel: Channel, target: Target, arguments: list[str]) -> None:
        """Run a subroutine to its Return (U(), feature codes); raises ChannelEnded."""
        depth = len(channel.frames)
        self.gosub(channel, target, arguments)
        await self._loop(channel, depth + 1)

    async def _loop(self, channel: Channel, depth: int, *, hanging_up: bool = False) -> None:
        for _ in range(_MOST_STEPS):
            if channel.interrupted and not hanging_up:
                raise ChannelEnded
            extension = self.dialplan.find(channel.context, channel.exten)
            step = extension.steps.get(channel.priority) if extension is not None else None
            if step is None:
                if channel.priority == 1:
                    self.pbx.log("WARNING", f"no extension {channel.exten}@{channel.context}")
                return
            data = self.substituted(channel, step)
            channel.priority += 1
            self.pbx.follow(channel, step.application, data)
            try:
                await self.execute(channel, step.application, data)
            except (DialplanError, SubstitutionError, ExpressionError) as error:
                if step.where in str(error):
                    raise
                raise DialplanError(f"{step.where}: {step.application}({data}): {error}") from error
            if depth and len(channel.frames) < depth:
                return
        raise DialplanError(f"{channel.name} runs in circles at {channel.exten}@{channel.context}")

    def jump(self, channel: Channel, target: Target) -> None:
        """Go to a place in the dialplan."""
        channel.context, channel.exten = target.context, target.exten
        channel.priority = target.priority

    def target(self, channel: Channel, text: str) -> Target:
        """``label``, ``exten,label`` or ``context,exten,label``.

        Raises ChannelEnded when there is no such extension, DialplanError for a missing label.
        """
        parts = [part.strip() for part in split_arguments(text)]
        context = parts[-3] if len(parts) > 2 else channel.context
        exten = parts[-2] if len(parts) > 1 else channel.exten
        extension = self.dialplan.find(context, exten)
        priority = extension.priority(parts[-1]) if extension is not None else None
        if extension is None and len(parts) > 1:
            # A dialled string may lead nowhere; Asterisk then says so and ends the call.
            self.pbx.log("WARNING", f"non-existent destination {exten}@{context}")
            raise ChannelEnded
        if priority is None:
            raise DialplanError(f"{text!r} leads nowhere from {channel.exten}@{channel.context}")
        return Target(context, exten, priority)

    def gosub(self, channel: Channel, target: Target, arguments: list[str]) -> None:
        """Enter a subroutine; ARG1… of the caller are hidden until it returns."""
        back = Target(channel.context, channel.exten, channel.priority)
        hidden = max([len(arguments), *(len(frame.pushed) - 1 for frame in channel.frames)])
        pushed = ["ARGC", *(f"ARG{number}" for number in range(1, hidden + 1))]
        values = [str(len(arguments)), *arguments, *([""] * (hidden - len(arguments)))]
        for name, value in zip(pushed, values, strict=True):
            channel.variables.push(name, value)
        channel.frames.append(Frame(back, pushed))
        self.jump(channel, target)

    def leave(self, channel: Channel, value: str) -> None:
        """Return from a subroutine."""
        if not channel.frames:
            raise DialplanError("Return without Gosub")
        frame = channel.frames.pop()
        for name in frame.pushed:
            channel.variables.pop(name)
        if frame.back is not None:
            self.jump(channel, frame.back)
        channel.variables.set("GOSUB_RETVAL", value)

    def needs_answer(self, channel: Channel) -> None:
        """What Playback and its like do first."""
        if channel.state is not State.UP:
            self.pbx.answer(channel)
