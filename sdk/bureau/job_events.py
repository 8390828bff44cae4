"""Jobs' events as one iterator that goes on after cuts and restarts: nothing is left out, nothing comes twice."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from bureau.errors import BureauError, Refused, TooMany
from bureau.http import Caller, pause
from bureau_contracts.events import Event

RECONNECTS = 40
"""How often in a row a stream is asked for again without a sign of life: for about a minute and a half."""


async def follow(
    caller: Caller, path: str, seen: Sequence[int], *, params: Mapping[str, Sequence[str]] | None = None
) -> AsyncGenerator[Event, None]:
    """Every event after those seen, until the server says that there will be no more.

    `seen` has the number of the last event of each job, in the order in which the jobs are asked for. The server keeps
    nothing of who listens: each connection says how far the one before it came. A refusal (no access, say) comes out as
    the error that it is.
    """
    last, failures = ".".join(str(number) for number in seen), 0
    while True:
        try:
            async with caller.stream(path, params=params, headers={"last-event-id": last}) as lines:
                said: dict[str, str] = {}
                async for line in lines:
                    failures = 0
                    if line:
                        field, _, value = line.partition(":")
                        said[field] = value.strip()
                        continue
                    # Only an empty line ends an event: what was cut before it comes again.
                    if "data" in said:
                        last = said.get("id", last)
                        yield Event.model_validate_json(said["data"], extra="ignore")
                    said = {}
            return
        except BureauError as error:
            failures += 1
            if failures > RECONNECTS or (isinstance(error, Refused) and not isinstance(error, TooMany)):
                raise
            await asyncio.sleep(pause(failures, error.retry_after))
