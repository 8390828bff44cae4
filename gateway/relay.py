"""One WebSocket, passed on in both directions message by message, until either side closes it."""

from starlette.types import Receive, Scope, Send

from gateway.auth import answered_subprotocol
from gateway.upstream import Channel, Closed
from kit.tasks import Ended, until

NORMAL, GOING_AWAY, NO_CODE, ABNORMAL, BAD_GATEWAY = 1000, 1001, 1005, 1006, 1014


async def run(scope: Scope, receive: Receive, send: Send, channel: Channel) -> None:
    """Accepts the client's handshake and returns when the conversation is over. The channel is closed by then."""
    await receive()  # websocket.connect
    await send(
        {"type": "websocket.accept", "subprotocol": answered_subprotocol(scope["subprotocols"], channel.subprotocol)}
    )
    try:
        async with until(_to_client(channel, send)):
            end = await _to_service(receive, channel)
    except Ended:
        return
    await channel.close(end.code, end.reason)


async def _to_service(receive: Receive, channel: Channel) -> Closed:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            code = message.get("code") or NO_CODE
            return Closed({NO_CODE: NORMAL, ABNORMAL: GOING_AWAY}.get(code, code), message.get("reason") or "")
        text = message.get("text")
        await channel.send(message["bytes"] if text is None else text)


async def _to_client(channel: Channel, send: Send) -> None:
    try:
        while not isinstance(message := await channel.receive(), Closed):
            await send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})
        code = {NO_CODE: NORMAL, ABNORMAL: BAD_GATEWAY}.get(message.code, message.code)
        await send({"type": "websocket.close", "code": code, "reason": message.reason})
    except OSError:
        # The client has left (ASGI's signal for it); the other direction ends the conversation.
        return
