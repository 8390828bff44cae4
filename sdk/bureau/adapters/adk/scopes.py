"""ADK's state in Bureau's. ADK's `app:` and `user:` keys belong to one app; Bureau's to a tenant, to a user.

So the app's name is folded into the key: `user:lang` of the app `shop` is `user:shop:lang` in Bureau. What stands there
under another app's name, or none, is not this app's to see.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from google.adk.sessions import State
from pydantic_core import to_jsonable_python

from bureau_contracts.shapes import JsonObject

SHARED = (State.APP_PREFIX, State.USER_PREFIX)


def folded(app_name: str, state: Mapping[str, Any]) -> JsonObject:
    """As Bureau keeps it. Temporary keys are left out; what JSON cannot say becomes its `repr`, as ADK does it."""
    kept = {_fold(app_name, key): value for key, value in state.items() if not key.startswith(State.TEMP_PREFIX)}
    whole: JsonObject = to_jsonable_python(kept, serialize_unknown=True)
    return whole


def unfolded(app_name: str, state: JsonObject) -> JsonObject:
    """As the app knows it."""
    shown: JsonObject = {}
    for key, value in state.items():
        prefix = next((each for each in SHARED if key.startswith(each)), "")
        ours = _fold(app_name, prefix)
        if not prefix:
            shown[key] = value
        elif key.startswith(ours):
            shown[prefix + key.removeprefix(ours)] = value
    return shown


def user_keys(app_name: str, state: JsonObject) -> JsonObject:
    """The user's keys alone, without their prefix."""
    prefix = State.USER_PREFIX
    shown = unfolded(app_name, state)
    return {key.removeprefix(prefix): value for key, value in shown.items() if key.startswith(prefix)}


def _fold(app_name: str, key: str) -> str:
    for prefix in SHARED:
        if key.startswith(prefix):
            return f"{prefix}{quote(app_name, safe='')}:{key.removeprefix(prefix)}"
    return key
