"""Revisions as HTTP has them: ETag, If-Match and If-None-Match."""

import re
from typing import Annotated

from fastapi import Depends, Header, Response

_ETAG = re.compile(r'"(\d{1,15})"')


def etag(revision: int) -> str:
    return f'"{revision}"'


def not_modified(revision: int) -> Response:
    return Response(status_code=304, headers={"etag": etag(revision)})


def _revisions(if_match: Annotated[str | None, Header()] = None) -> frozenset[int] | None:
    """The revisions that If-Match names; None when any will do. What is not one of our ETags matches nothing."""
    return None if if_match is None or if_match.strip() == "*" else _named(if_match)


def _known(if_none_match: Annotated[str | None, Header()] = None) -> frozenset[int]:
    """The revisions that If-None-Match names: those that the caller has, weak or not."""
    return _named(if_none_match.replace("W/", "")) if if_none_match else frozenset()


def _named(header: str) -> frozenset[int]:
    parts = (_ETAG.fullmatch(part.strip()) for part in header.split(","))
    return frozenset(int(match[1]) for match in parts if match)


RevisionsDep = Annotated[frozenset[int] | None, Depends(_revisions)]
KnownDep = Annotated[frozenset[int], Depends(_known)]
