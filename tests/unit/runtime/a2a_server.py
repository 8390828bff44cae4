"""A real A2A server, of the protocol's own SDK, with an agent that does what the message says."""

import asyncio

from a2a.helpers import new_task_from_user_message, new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandlerV2
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part
from starlette.applications import Starlette


class Executor(AgentExecutor):
    """``task …`` makes a task, ``fail`` one that fails, ``ask`` one that needs more; else a message comes back."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        text = context.get_user_input()
        assert context.message is not None
        self.asked.append((text, context.message.context_id, context.message.message_id))
        if text.split()[0] not in ("task", "fail", "ask"):
            await event_queue.enqueue_event(new_text_message(f"you said: {text}", context_id=context.context_id))
            return
        task = new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        await asyncio.sleep(0)
        if text.startswith("task"):
            await updater.add_artifact([Part(text=f"done: {text}")])
            await updater.complete()
        elif text.startswith("fail"):
            await updater.failed(updater.new_agent_message([Part(text="out of paper")]))
        else:
            await updater.requires_input(updater.new_agent_message([Part(text="which one?")]))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


def a2a_app(executor: Executor, *, versions: tuple[str, ...] = ("1.0",), url: str = "http://agent/rpc") -> Starlette:
    card = AgentCard(
        name="echo", description="Says what it was told.", version="1", capabilities=AgentCapabilities(),
        default_input_modes=["text/plain"], default_output_modes=["text/plain"],
        skills=[AgentSkill(id="echo", name="echo", description="Echo.", tags=["echo"])],
        supported_interfaces=[
            AgentInterface(protocol_binding="JSONRPC", url=url, protocol_version=each) for each in versions
        ],
    )  # fmt: skip
    handler = DefaultRequestHandlerV2(agent_executor=executor, task_store=InMemoryTaskStore(), agent_card=card)
    routes = create_jsonrpc_routes(handler, rpc_url="/rpc", enable_v0_3_compat="0.3" in versions)
    return Starlette(routes=[*create_agent_card_routes(card), *routes])
