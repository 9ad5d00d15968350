"""Settings: what is wrong is said in one line with the file and the key."""

from pathlib import Path

import pytest

from callguard.config import ConfigError, Settings

ASTERISK = """
[[asterisk]]
name = "east"
secret_file = "{folder}/secret"
"""

FOLDER = """
[[folders]]
name = "faxes"
path = "/faxes"
data_class = "fax"
tenant = "acme"
"""


def load(folder: Path, text: str) -> Settings:
    file = folder / "callguard.toml"
    file.write_text(text.replace("{folder}", str(folder)), encoding="utf-8")
    return Settings.load(file)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    assert settings == Settings()
    assert settings.database_url == "sqlite:////var/lib/callguard/callguard.db"
    assert settings.master_key == Path("/var/lib/callguard/master.key")
    assert settings.prompt_folder == Path("/var/lib/callguard/prompts")
    assert settings.object_folder == Path("/var/lib/callguard/objects")
    assert settings.api_token == Path("/var/lib/callguard/api.token")
    assert settings.web.host == "127.0.0.1"


def test_paths_that_are_given_replace_those_below_data(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        'database = "sqlite:///x.db"\nmaster_key_file = "/k"\nprompts = "/p"\ndata = "/d"\n'
        '[web]\napi_token_file = "/t"\n',
    )
    assert settings.database_url == "sqlite:///x.db"
    assert settings.master_key == Path("/k")
    assert settings.prompt_folder == Path("/p")
    assert settings.object_folder == Path("/d/objects")
    assert settings.api_token == Path("/t")


def test_the_shipped_packs_count_unless_they_are_left_out(tmp_path: Path) -> None:
    assert (Settings().policy.packs, Settings().policy.leave_out) == (None, ())
    policy = load(tmp_path, '[policy]\npacks = "/p"\nleave_out = ["us", "fr"]\n').policy
    assert (policy.packs, policy.leave_out) == (Path("/p"), ("us", "fr"))


def test_an_asterisk_is_found_by_its_name(tmp_path: Path) -> None:
    settings = load(tmp_path, ASTERISK)
    east = settings.pbx("east")
    assert east is not None
    assert east.port == 5038
    assert settings.pbx("west") is None


@pytest.mark.parametrize("channel", ["PJSIP/{number}@carrier", "Local/{digits}@out"])
def test_a_call_back_says_whom_to_call(tmp_path: Path, channel: str) -> None:
    east = load(tmp_path, f'{ASTERISK}call_back = "{channel}"').pbx("east")
    assert east is not None
    assert east.call_back == channel


@pytest.mark.parametrize("channel", ["PJSIP/{nummer}@carrier", "PJSIP/1&2", "PJSIP/{number},x"])
def test_a_call_back_that_calls_nobody_or_several_is_refused(tmp_path: Path, channel: str) -> None:
    with pytest.raises(ConfigError, match="call_back"):
        load(tmp_path, f'{ASTERISK}call_back = "{channel}"')


def test_the_secret_is_read_from_its_file_and_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("  hush\n", encoding="utf-8")
    settings = load(tmp_path, ASTERISK)
    assert settings.asterisk[0].secret() == "hush"
    assert "hush" not in repr(settings)
    assert "hush" not in settings.model_dump_json()


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_secret_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match="asterisk east: secret_file: ") as caught:
        load(tmp_path, ASTERISK).asterisk[0].secret()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("colour = 1", "colour"),
        ('data = "/srv/call?guard"', "data"),
        ('home_region = "gb"', "home_region"),
        ('home_region = "GBR"', "home_region"),
        ('home_region = "UK"', "home_region"),  # reserved for Britain, and no numbering plan's
        ('home_region = "001"', "home_region"),
        ("[agi]\nport = 65536", "agi.port"),
        ("[agi]\nport = -1", "agi.port"),
        ('[agi]\nport = "many"', "agi.port"),
        ('[agi]\nallow = ["10.0.0.1/8"]', "agi.allow"),
        ('[agi]\nallow = ["everyone"]', "agi.allow"),
        ("[agi]\nmax_sessions = 0", "agi.max_sessions"),
        ("[agi]\nheader_timeout = 0", "agi.header_timeout"),
        ("[agi]\nheader_timeout = nan", "agi.header_timeout"),
        ("[agi]\nheader_timeout = inf", "agi.header_timeout"),
        ('[web]\nhost = "0.0.0.0"', "web.host"),
        ('[web]\nhost = "example.org"', "web.host"),
        ("[spool]\nreserve_bytes = -1", "spool.reserve_bytes"),
        ('[purge]\nat = "24:00"', "purge.at"),
        ('[purge]\nat = "2:30"', "purge.at"),
        ('[purge]\nat = "0٣:30"', "purge.at"),  # a digit, but not one that a clock is read by
        ('[purge]\ntime_zone = "Europe/Atlantis"', "purge.time_zone"),
        ('[purge]\nschedule = "@daily"', "purge.schedule"),
        ("[policy]\npacks = 1", "policy.packs"),
        ('[policy]\nleave_out = "us"', "policy.leave_out"),
        ("[policy]\nleave_out = [1]", "policy.leave_out.0"),
        ("[policy]\ncolour = 1", "policy.colour"),
        ("[limits]\nlease_s = 2", "limits.lease_s"),
        ("[limits]\ndurable_s = -1", "limits.durable_s"),
        ("[limits]\nwatchdog_s = inf", "limits.watchdog_s"),
        ("[limits]\nwatchdog_s = nan", "limits.watchdog_s"),
        ("[[asterisk]]\nport = 1", "asterisk.0.secret_file"),
        ('[[asterisk]]\nsecret_file = "s"\nname = "a b"', "asterisk.0.name"),
        (ASTERISK + ASTERISK, "asterisk"),
        ("asterisk = 3", "asterisk"),
        ('"line\\nbreak" = 1', "line break"),
        (FOLDER.replace("/faxes", "no\\nslash"), "folders.0"),
        (FOLDER + FOLDER, "folders"),
    ],
)
def test_a_setting_that_is_wrong_is_named(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'callguard.toml'}: {key}: ")
    assert "\n" not in said


@pytest.mark.parametrize(
    "text",
    [
        "data = ",
        "= 3",
        "a = 1\na = 2",
        '"',
        "[a]\n[a]",
        pytest.param("a = " + "[" * 20_000, id="nested"),
    ],
)
def test_what_is_no_toml_is_one_line_with_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"callguard\.toml: ") as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(b"data = '\xff'")
    with pytest.raises(ConfigError, match=r"c\.toml: .*utf-8"):
        Settings.load(file)


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        Settings.load(tmp_path)
    with pytest.raises(ConfigError, match="No such file"):
        Settings.load(tmp_path / "absent.toml")


def test_networks_of_both_families_are_understood(tmp_path: Path) -> None:
    settings = load(tmp_path, '[agi]\nallow = ["192.0.2.0/24", "2001:db8::/32"]')
    assert [network.version for network in settings.agi.networks] == [4, 6]


def test_no_asterisk_has_the_name_of_the_api(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no Asterisk is called 'api'"):
        load(tmp_path, '[[asterisk]]\nname = "api"\nsecret_file = "/x"\n')


def test_the_door_for_text_messages_has_its_own_token(tmp_path: Path) -> None:
    settings = load(tmp_path, '[sms]\nnumbers = {"60777" = "acme"}\nid_field = ["Sid"]\n')
    assert settings.sms.numbers == {"60777": "acme"}
    assert settings.sms_token == settings.data / "sms.token"


@pytest.mark.parametrize(
    "text", ["[sms]\nfrom_field = []", '[sms]\ntext_field = [""]', "[scrubs]\nkeep_days = 0"]
)
def test_a_field_without_a_name_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, text)
