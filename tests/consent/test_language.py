"""In which language somebody is spoken to."""

import pytest

from callguard.consent.language import language_of

ALL = ("en", "he", "nl", "ru", "fr", "de", "es")


@pytest.mark.parametrize(
    ("region", "languages", "own", "spoken"),
    [
        ("GB", ALL, "he", "en"),
        ("IL", ALL, "en", "he"),
        ("NL", ALL, "en", "nl"),
        ("RU", ALL, "en", "ru"),
        ("FR", ALL, "en", "fr"),
        ("DE", ALL, "en", "de"),
        ("MX", ALL, "en", "es"),
        ("AT", ("en", "de-DE"), "en", "de-DE"),
        ("BE", ("nl", "fr"), "en", "nl"),
        ("BE", ("nl", "fr"), "fr", "fr"),
        ("BE", ("en", "de"), "en", "de"),
        ("IL", ("en", "nl"), "en", "en"),
        ("IL", (), "nl", "nl"),
        ("JP", ALL, "nl", "nl"),
        (None, ALL, "fr", "fr"),
        ("", ALL, "fr", "fr"),
    ],
)
def test_the_subjects_region_says_it_and_else_the_tenant(
    region: str | None, languages: tuple[str, ...], own: str, spoken: str
) -> None:
    assert language_of(region, languages, own) == spoken
