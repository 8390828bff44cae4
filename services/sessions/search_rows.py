"""Rows of the index's queries to what a search looks at, once for both SQL adapters."""

import json
from collections.abc import Sequence
from itertools import groupby

from services.sessions import rows
from services.sessions.search import Candidates, Found, tokens_of

Place = tuple[int, str, str]
"""Where in the index a message stands, its message_id, and its tokens, with spaces between."""


def candidates_of(found: Sequence[rows.Row], limit: int, *, behind: bool) -> Candidates:
    """From at most `limit` rows, greatest place first: one for each message and each session that may show it.

    A session shows a message when it stands on its branch, or on its lineage as that is now; of several sessions the
    message's own comes first, then the one that was active last.
    """
    places = [list(group) for _, group in groupby(found, key=lambda row: row["place"])]
    cut = len(found) == limit
    if cut and len(places) > 1:
        places.pop()  # perhaps not all of its sessions are there: the next page begins with it
    hits = []
    for group in places:
        shown = [row for row in group if _is_shown(row)]
        if shown:
            row = max(shown, key=lambda each: (each["shown_in"] == each["session_id"], each["last_activity"]))
            hits.append(Found(row["place"], row["shown_in"], rows.message_of(row)))
    return Candidates(hits, places[-1][0]["place"] if cut else None, behind)


def places_of(waiting: Sequence[rows.Row]) -> list[Place]:
    """What is to be indexed of messages. A message whose session is gone belongs to whom it belonged."""
    return [
        (
            row["place"],
            row["message_id"],
            " ".join(tokens_of(row["tenant"], row["user_id"], row["session_id"], rows.message_of(row))),
        )
        for row in waiting
    ]


def _is_shown(row: rows.Row) -> bool:
    begins = 0
    own = [row["shown_in"], row["shown_branch"], row["message_count"]]
    for session_id, branch, last_seq in [*json.loads(row["lineage"]), own]:
        if (session_id, branch) == (row["session_id"], row["branch"]) and begins < row["seq"] <= last_seq:
            return True
        begins = max(begins, last_seq)
    return False
