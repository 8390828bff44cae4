"""ADK events of every shape, for property tests: every field of theirs that an agent or a model can set."""

from collections.abc import Callable
from typing import Any, TypeVar

from google.adk.auth.auth_credential import AuthCredential, AuthCredentialTypes
from google.adk.auth.auth_tool import AuthConfig
from google.adk.events import Event, EventActions
from google.adk.events.event_actions import EventCompaction
from google.adk.tools.tool_confirmation import ToolConfirmation
from google.genai import types
from hypothesis import strategies as st

M = TypeVar("M")

text = st.text(max_size=30)
names = st.text(min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
flags = st.none() | st.booleans()
scalars = st.none() | st.booleans() | st.integers() | numbers | text
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8
)
json_objects = st.dictionaries(text, json_values, max_size=3)
# What a state may hold: Bureau stores no NUL. Temporary keys are taken out of an event before it is stored.
stored_text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
state_keys = stored_text.filter(lambda key: not key.startswith("temp:"))
stored_values = st.none() | st.booleans() | st.integers() | numbers | stored_text | st.lists(stored_text, max_size=3)
blobs = st.binary(max_size=60)


def made(model: Callable[..., M], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[M]:
    """Of these fields alone: `st.builds` would guess at aliases of the others."""
    return st.fixed_dictionaries(fields).map(lambda given: model(**given))


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


parts = st.one_of(
    made(types.Part, text=text, thought=flags, thought_signature=optional(blobs)),
    made(types.Part, inline_data=made(types.Blob, data=blobs, mime_type=text, display_name=optional(text))),
    made(types.Part, file_data=made(types.FileData, file_uri=text, mime_type=optional(text))),
    made(
        types.Part,
        function_call=made(types.FunctionCall, id=optional(text), name=optional(text), args=optional(json_objects)),
    ),
    made(
        types.Part,
        function_response=made(
            types.FunctionResponse, id=optional(text), name=optional(text), response=optional(json_objects)
        ),
    ),
    made(
        types.Part,
        executable_code=made(types.ExecutableCode, code=text, language=st.just(types.Language.PYTHON)),
    ),
    made(
        types.Part,
        code_execution_result=made(
            types.CodeExecutionResult, outcome=st.just(types.Outcome.OUTCOME_OK), output=optional(text)
        ),
    ),
)  # fmt: skip
contents = made(
    types.Content, role=st.sampled_from(["user", "model", None]), parts=optional(st.lists(parts, max_size=4))
)
grounding = made(
    types.GroundingMetadata,
    web_search_queries=optional(st.lists(text, max_size=2)),
    grounding_chunks=optional(
        st.lists(made(types.GroundingChunk, web=made(types.GroundingChunkWeb, uri=text, title=text)), max_size=2)
    ),
    grounding_supports=optional(
        st.lists(
            made(
                types.GroundingSupport,
                confidence_scores=st.lists(numbers, max_size=2),
                segment=made(types.Segment, start_index=st.integers(0, 99), text=text),
            ),
            max_size=2,
        )
    ),
)
auth_configs = made(
    AuthConfig,
    credential_key=names,
    auth_scheme=st.just({"type": "apiKey", "in": "header", "name": "x-key"}),
    raw_auth_credential=optional(made(AuthCredential, auth_type=st.just(AuthCredentialTypes.API_KEY), api_key=text)),
)
actions = made(
    EventActions,
    skip_summarization=flags,
    state_delta=st.dictionaries(state_keys, stored_values, max_size=3),
    artifact_delta=st.dictionaries(text, st.integers(0, 2**31), max_size=3),
    transfer_to_agent=optional(text),
    escalate=flags,
    requested_auth_configs=st.dictionaries(names, auth_configs, max_size=1),
    requested_tool_confirmations=st.dictionaries(
        names, made(ToolConfirmation, hint=text, confirmed=st.booleans(), payload=json_values), max_size=2
    ),
    compaction=optional(
        made(EventCompaction, start_timestamp=numbers, end_timestamp=numbers, compacted_content=contents)
    ),
    end_of_agent=flags,
    agent_state=optional(json_objects),
    rewind_before_invocation_id=optional(text),
)
usages = made(
    types.GenerateContentResponseUsageMetadata,
    prompt_token_count=optional(st.integers(0, 10**9)),
    candidates_token_count=optional(st.integers(0, 10**9)),
    cached_content_token_count=optional(st.integers(0, 10**9)),
)
events = made(
    Event,
    author=st.sampled_from(["user", "clerk", "Clerk No. 2"]) | names,
    invocation_id=text,
    content=optional(contents),
    actions=actions,
    long_running_tool_ids=optional(st.sets(names, max_size=3)),
    branch=optional(text),
    partial=st.sampled_from([None, False]),
    turn_complete=flags,
    interrupted=flags,
    error_code=optional(text),
    error_message=optional(text),
    finish_reason=optional(st.sampled_from([types.FinishReason.STOP, types.FinishReason.SAFETY])),
    custom_metadata=optional(json_objects),
    grounding_metadata=optional(grounding),
    usage_metadata=optional(usages),
    input_transcription=optional(made(types.Transcription, text=text, finished=flags)),
    output_transcription=optional(made(types.Transcription, text=text, finished=flags)),
    avg_logprobs=optional(numbers),
    model_version=optional(text),
    interaction_id=optional(text),
    output=json_values,
    timestamp=numbers,
)
