"""Changes of a registry's document, for tests that care for the document and not for who changed it."""

from datetime import UTC, datetime

from bureau_contracts.registry import ChangeType, Kind
from services.registry.document import Document, Stamp, Thing

STAMP = Stamp(datetime(2026, 1, 1, tzinfo=UTC), "acme/ann")


def put(document: Document, *records: Thing) -> Document:
    for record in records:
        document = document.put(record, ChangeType.UPDATED, STAMP)
    return document


def drop(document: Document, name: str, kind: Kind = Kind.AGENT) -> Document:
    return document.drop(kind, name, STAMP)
