"""Which headers cross the gateway."""

from __future__ import annotations

from multidict import CIMultiDict

from bacalhau_jupyter.server.gateway import headers


def test_nothing_that_speaks_for_the_browser_reaches_the_cluster() -> None:
    browser = CIMultiDict(
        {
            "accept": "application/json",
            "Content-Type": "application/json",
            "traceparent": "00-1-2-01",
            "Cookie": "session=1",
            "Authorization": "token t",
            "X-XSRFToken": "x",
            "Origin": "http://evil",
            "Referer": "http://evil/x",
            "Host": "evil",
            "Sec-Fetch-Site": "cross-site",
            "X-Forwarded-For": "1.2.3.4",
            "Connection": "upgrade",
            "Upgrade": "websocket",
        }
    )
    assert headers.to_cluster(browser, {"Authorization": "Bearer own"}) == {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Traceparent": "00-1-2-01",
        "Accept-Encoding": "identity",
        "Authorization": "Bearer own",
    }


def test_nothing_that_speaks_to_the_browser_comes_back() -> None:
    cluster = CIMultiDict(
        {
            "content-type": "application/json; charset=utf-8",
            "Set-Cookie": "_xsrf=owned",
            "Access-Control-Allow-Origin": "*",
            "Location": "http://evil",
            "Connection": "close",
            "Refresh": "0; http://evil",
            "Content-Disposition": "inline",
            "X-Bacalhau-Git-Version": "v1.7.0",
        }
    )
    assert dict(headers.from_cluster(cluster)) == {
        "X-Bacalhau-Git-Version": "v1.7.0",
        "Content-Type": "application/json; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": headers.ISOLATED,
        "Cache-Control": "private, no-store",
    }


def test_a_page_becomes_a_download_of_unknown_type() -> None:
    passed = dict(headers.from_cluster(CIMultiDict({"Content-Type": "Text/HTML"})))
    assert passed["Content-Type"] == "application/octet-stream"
    assert passed["Content-Disposition"] == 'attachment; filename="answer"'


def test_the_name_of_a_download_can_hold_no_header() -> None:
    passed = dict(headers.from_cluster(CIMultiDict(), 'e-1";\r\nSet-Cookie: a=b.tar.gz'))
    assert passed["Content-Disposition"] == 'attachment; filename="e-1____Set-Cookie__a_b.tar.gz"'
