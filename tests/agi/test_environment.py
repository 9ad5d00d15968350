"""What the environment says: the request, its parameters and the channel."""

import pytest

from callguard.agi import AgiEnvironment, RemoteProtocolError
from callguard.agi.wire import EnvironmentParser
from tests.agi.samples import ENVIRONMENT


def environment(**values: str) -> AgiEnvironment:
    return AgiEnvironment.parse({f"agi_{key}": value for key, value in values.items()})


def test_a_real_environment_is_read_into_its_parts() -> None:
    parser = EnvironmentParser()
    parser.receive(ENVIRONMENT)
    values = parser.next()
    assert values is not None
    env = AgiEnvironment.parse(values)
    assert env.request == "outbound"
    assert env.query == {"pbx": "lab", "number": "+4930123456", "tenant": "acme"}
    assert env.uniqueid == "1793400000.1"
    assert env.channel == "PJSIP/agent-00000001"
    assert env.callerid == "200"
    assert env.extension == "+4930123456"
    assert env.language == "de"
    assert env.context == "callguard-outbound"
    assert env.values["agi_priority"] == "7"


@pytest.mark.parametrize(
    ("url", "request_", "query"),
    [
        ("agi://host:4573/outbound?a=1", "outbound", {"a": "1"}),
        ("agi://host/deep/er", "deep/er", {}),
        ("agi://host", "", {}),
        ("agi://host/?a=1&b=", "", {"a": "1", "b": ""}),
        ("agi://host//x?flag", "x", {"flag": ""}),
        ("script.agi?a=%26%3D%20%25&%C3%A4=z", "script.agi", {"a": "&= %", "ä": "z"}),
    ],
)
def test_the_request_is_taken_from_the_url_when_no_script_is_named(
    url: str, request_: str, query: dict[str, str]
) -> None:
    env = environment(request=url)
    assert (env.request, dict(env.query)) == (request_, query)


def test_a_plus_sign_is_a_plus_sign() -> None:
    assert environment(network_script="x?number=+4930&n=%2B4930").query == {
        "number": "+4930",
        "n": "+4930",
    }


def test_a_dialled_ampersand_cannot_overrule_a_parameter() -> None:
    for script in ("x?tenant=a&number=1&tenant=b", "x?tenant=a&%74enant=b"):
        with pytest.raises(RemoteProtocolError):
            environment(network_script=script)


def test_an_unknown_caller_is_empty_and_missing_values_are_too() -> None:
    assert environment(callerid="unknown").callerid == ""
    env = environment()
    assert env.request == env.uniqueid == env.channel == env.callerid == ""
    assert env.extension == env.language == env.context == ""


def test_the_values_cannot_be_changed_and_are_not_shown() -> None:
    env = environment(callerid="4930123456", network_script="x?number=4930123456")
    assert "4930123456" not in repr(env)
    with pytest.raises(TypeError):
        env.values["agi_callerid"] = "1"  # type: ignore[index] # that is the point
