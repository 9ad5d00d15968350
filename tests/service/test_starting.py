"""A service that cannot be built says why in one line."""

from pathlib import Path
from typing import Any

import pytest

from callguard.service import Service, ServiceError
from tests.harness.virtual import current_clock, virtual_time
from tests.house import furnish


@pytest.mark.parametrize(
    ("secret", "asterisk", "told"),
    [
        ("hush\nhush", {}, "asterisk asterisk: the value of Secret holds CR, LF or NUL"),
        ("hush" * 1_000, {}, "asterisk asterisk: the line of Secret is over "),
        ("hush", {"username": "call\nguard"}, "asterisk asterisk: the value of Username holds"),
        ("hush", {"username": ""}, "asterisk asterisk: .*username must not be empty"),
        ("hush", {"host": ""}, "asterisk asterisk: .*host .*must not be empty"),
        ("hush", {"secret_file": Path("\0")}, "asterisk asterisk: embedded null byte"),
    ],
)
@virtual_time
async def test_a_manager_user_that_cannot_be_sent_is_one_line_without_the_secret(
    tmp_path: Path, secret: str, asterisk: dict[str, Any], told: str
) -> None:
    settings, _ = furnish(tmp_path)
    (tmp_path / "manager.secret").write_text(secret)
    pbx = settings.asterisk[0].model_copy(update=asterisk)
    with pytest.raises(ServiceError, match=told) as caught:
        Service(settings.model_copy(update={"asterisk": (pbx,)}), current_clock())
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)
