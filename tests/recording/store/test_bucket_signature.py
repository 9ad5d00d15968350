"""Signed as Amazon's own library signs, and as its documentation shows."""

from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials as Known  # type: ignore[import-untyped]

from callguard.recording.store.s3_signature import Credentials, query_string, signed_headers

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SHOWN = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


def test_the_published_example_gets_the_published_signature() -> None:
    signed = signed_headers(
        SHOWN,
        "us-east-1",
        "GET",
        "/test.txt",
        {},
        {"Host": "examplebucket.s3.amazonaws.com", "Range": "bytes=0-9"},
        EMPTY,
        datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert signed["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


@pytest.mark.parametrize("token", [None, "a/token+of=some length"])
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"uploads": ""},
        {"uploadId": "a+b/c=d~e f&g", "partNumber": "10"},
        {"uploads": "", "prefix": "calls/ca/a", "key-marker": "\u00e9"},
    ],
)
def test_a_request_is_signed_as_the_vendor_does(query: dict[str, str], token: str | None) -> None:
    at = datetime(2026, 11, 22, 11, 12, 13, tzinfo=UTC)
    host, path = "127.0.0.1:9000", "/recordings/calls/ca/a"
    sent = signed_headers(
        Credentials("id", "secret", token),
        "eu-west-1",
        "PUT",
        path,
        query,
        {"Host": host, "Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="},
        EMPTY,
        at,
    )
    url = f"http://{host}{path}?{query_string(query)}"
    known = AWSRequest("PUT", url, {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, b"")
    known.headers["X-Amz-Content-SHA256"] = EMPTY
    if token is not None:
        known.headers["X-Amz-Security-Token"] = token
    known.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    known.headers["X-Amz-Date"] = known.context["timestamp"]
    signer = S3SigV4Auth(Known("id", "secret", token), "s3", "eu-west-1")
    wanted = signer.signature(signer.string_to_sign(known, signer.canonical_request(known)), known)
    assert sent["authorization"].endswith(f"Signature={wanted}")


def test_the_secret_is_in_no_representation() -> None:
    assert "Credentials(access_key_id='id')" in repr(Credentials("id", "secret", "token"))
