"""Clients share what is read of certificates, and check them no less for it."""

import ssl

import httpx

from kit.certificates import trusted


def test_certificates_are_read_once_and_believed_as_httpx_believes_them() -> None:
    context, httpx_own = trusted(), httpx.create_ssl_context(trust_env=False)
    assert trusted() is context
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats() == httpx_own.cert_store_stats()
