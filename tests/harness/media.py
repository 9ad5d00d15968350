"""What is heard and what is recorded: prompts, digits, MixMonitor."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tests.harness import events
from tests.harness.agi_client import NotSimulated
from tests.harness.channels import Channel, Digit, Gone
from tests.harness.notes import Heard
from tests.harness.prompts import Prompts
from tests.harness.recorder import CODINGS, RATE, Recorder

if TYPE_CHECKING:
    from tests.harness.asterisk import SimulatedAsterisk


class Media:
    """The sound side of one simulated Asterisk.

    ``folders`` maps folders as Asterisk sees them to folders on the host.
    """

    def __init__(
        self, pbx: "SimulatedAsterisk", prompts: Mapping[str, int], folders: Mapping[str, Path]
    ) -> None:
        self._pbx = pbx
        self.folders = dict(folders)
        self.prompts = Prompts(prompts, self.host_path)
        self.heard: list[Heard] = []
        self.recorders: list[Recorder] = []

    def host_path(self, name: str) -> Path | None:
        """Where a path of Asterisk's lies on the host; None outside the mapped folders."""
        path = PurePosixPath(name)
        for folder, host in sorted(self.folders.items(), key=lambda each: -len(each[0])):
            if path.is_relative_to(folder):
                return host / path.relative_to(folder)
        return None

    async def play(self, channel: Channel, name: str, escape: str, offset: int = 0) -> Heard:
        """Play a prompt in virtual time until its end, an escape digit or the hang-up."""
        length = self.prompts.samples(name)
        if length is None:
            self._pbx.log("WARNING", f"File {name} does not exist in any format")
            return self._was_heard(Heard(name, 0, None, channel.name))
        self._pbx.note("prompt", channel, name)
        began, samples, result = self._pbx.clock.monotonic(), min(offset, length), 0
        while samples < length:
            happened = await channel.wait((length - samples) / RATE)
            played = offset + round((self._pbx.clock.monotonic() - began) * RATE)
            samples = min(length, played)
            if isinstance(happened, Gone):
                result = -1
                break
            if isinstance(happened, Digit) and happened.key in escape:
                result = ord(happened.key)
                break
        return self._was_heard(Heard(name, samples, length, channel.name, result))

    def _was_heard(self, heard: Heard) -> Heard:
        self.heard.append(heard)
        channel = self._pbx.find_channel(heard.channel)
        if channel is not None:
            self._pbx.note("prompt_ended", channel, heard.prompt, samples=str(heard.samples))
        return heard

    def press(self, channel: Channel, key: str) -> None:
        """A key is pressed on a channel."""
        digit = [("Digit", key), ("Direction", "Received")]
        headers = events.channel_headers(channel)
        self._pbx.emit("DTMFBegin", "dtmf,all", [*headers, *digit])
        self._pbx.emit("DTMFEnd", "dtmf,all", [*headers, digit[0], ("DurationMs", "100"), digit[1]])
        channel.press(key)

    def start_recording(
        self,
        channel: Channel,
        file: str,
        *,
        bridged_only: bool,
        beep_s: int = 0,
        stereo: bool = False,
    ) -> str:
        """MixMonitor; returns its id. Bytes are written only to a mapped folder of the host."""
        path = self.host_path(file)
        extension = file.rpartition(".")[2]
        if path is not None and (extension not in CODINGS or stereo != (extension == "raw")):
            raise NotSimulated(f"recording into {file}")
        identity = f"0x{self._pbx.unique('monitor'):08x}"
        recorder = Recorder(
            channel,
            file,
            path,
            bridged_only=bridged_only,
            is_agent=self._pbx.is_agent,
            identity=identity,
            beep_s=beep_s,
            stereo=stereo,
        )
        self.recorders.append(recorder)
        channel.variables.set("MIXMONITOR_FILENAME", file)
        self._pbx.emit("MixMonitorStart", "call,all", events.channel_headers(channel))
        self._pbx.note("recording", channel, file)
        return identity

    def stop_recording(self, channel: Channel, identity: str = "") -> bool:
        """StopMixMonitor; an empty identity stops the one that was started last."""
        for recorder in reversed(self.running_recorders(channel)):
            if identity in {"", recorder.identity}:
                self._end_recording(recorder)
                return True
        return False

    def running_recorders(self, channel: Channel) -> list[Recorder]:
        """The MixMonitors that are at work on a channel."""
        return [each for each in self.recorders if each.channel is channel and each.running]

    def _end_recording(self, recorder: Recorder) -> None:
        if recorder.running:
            recorder.stop()
            self._pbx.emit("MixMonitorStop", "call,all", events.channel_headers(recorder.channel))
            self._pbx.note("recording_stopped", recorder.channel, str(recorder.samples))

    def mute_recording(
        self, channel: Channel, direction: str, muted: bool, identity: str = ""
    ) -> bool:
        """MixMonitorMute: silence in the file for ``read``, ``write`` or ``both``, of one
        MixMonitor or of all on the channel; whether there was any. The event does not say which."""
        directions = {"read", "write"} if direction == "both" else {direction}
        found = [r for r in self.running_recorders(channel) if identity in {"", r.identity}]
        ever = any(each.channel is channel for each in self.recorders)
        if not found and (identity or not ever):  # without an id, none left is none refused
            return False
        for recorder in found:
            recorder.mute(directions, muted=muted)
        headers = [
            *events.channel_headers(channel),
            ("Direction", direction),
            ("State", str(int(muted))),
        ]
        self._pbx.emit("MixMonitorMute", "call,all", headers)
        self._pbx.note("recording_muted" if muted else "recording_unmuted", channel, direction)
        return True

    def follow_sound(self) -> None:
        """Tell the recordings that who is heard has changed."""
        for recorder in self.recorders:
            if recorder.running:
                recorder.update()

    def end_recordings(self, channel: Channel) -> None:
        """Close what still records on a channel that ends; AMI is not told of it."""
        for recorder in self.running_recorders(channel):
            recorder.stop()
            self._pbx.note("recording_stopped", channel, str(recorder.samples))

    def hold(self, channel: Channel, *, held: bool, music: str = "") -> None:
        """The user of a channel puts whoever it talks with on hold, or takes them back: told also
        where nothing was held."""
        channel.on_hold = held
        name = "Hold" if held else "Unhold"
        headers = events.channel_headers(channel)
        self._pbx.emit(name, "call,all", [*headers, *([("MusicClass", music)] if music else [])])
        self.follow_sound()
        self._pbx.note(name.lower(), channel)
