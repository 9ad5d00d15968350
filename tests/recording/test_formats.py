"""Which formats have 8,000 samples a second, and which Asterisk mixes others with them."""

import pytest

from callguard.recording.formats import FORMATS, MONO, are_narrow, mixes_rates


@pytest.mark.parametrize(
    "spoken",
    ["ulaw", "(alaw)", "(ulaw|alaw|gsm|g729)", "slin", "(ilbc)", "(g726|adpcm|lpc10|g723)"],
)
def test_narrow_bands_are_known_by_name(spoken: str) -> None:
    assert are_narrow(spoken)


@pytest.mark.parametrize(
    "spoken",
    ["g722", "(slin16)", "(ulaw|g722)", "opus", "speex16", "siren7", "new", "", "()", "(ulaw|)"],
)
def test_everything_else_is_taken_for_wide(spoken: str) -> None:
    assert not are_narrow(spoken)


@pytest.mark.parametrize("version", ["20.21.0", "22.11.0~dfsg", "22.12.1", "23.5.0-rc1", "24.0.0"])
def test_later_versions_interleave_channels_of_any_rate(version: str) -> None:
    assert mixes_rates(version)


@pytest.mark.parametrize(
    "version",
    ["20.20.1", "21.12.0", "22.10.1+dfsg", "22.9", "23.4.9", "18.26.1", "certified/22.11",
     "GIT-master-1234", "SVN-24.0", "", "22"],
)  # fmt: skip
def test_earlier_and_unknown_ones_are_taken_to_spoil_them(version: str) -> None:
    assert not mixes_rates(version)


def test_what_is_recorded_instead_is_a_single_channel() -> None:
    assert FORMATS[MONO].wav.channels == 1
    assert FORMATS[MONO].options == ""
