"""Where a process may be sent to. Addresses only, so that no name is looked up."""

import pytest

from kit.destinations import Destinations, NotAllowed


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "https://10.0.0.1", "http://[::1]:80/"])
async def test_any_host_is_allowed_when_none_is_named(url: str) -> None:
    await Destinations().permit(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http:///nowhere",
        "http://[::1/",
        "http://h:99999/",
        "http://" + "a" * 300,
    ],
)
async def test_link_local_addresses_and_what_is_no_address_are_refused(url: str) -> None:
    with pytest.raises((NotAllowed, OSError)):
        await Destinations().permit(url)


async def test_only_named_hosts_are_allowed_when_some_are() -> None:
    allowed = Destinations(["127.0.0.1", "*.example.com"], setting="A_SETTING")
    await allowed.permit("http://127.0.0.1:9/")
    for url in ("http://127.0.0.2/", "http://example.com/", "http://127.0.0.1@127.0.0.3/", "http://xexample.com/"):
        with pytest.raises(NotAllowed, match="A_SETTING"):
            await allowed.permit(url)
