"""What a request's trace says of it, besides what FastAPI has it say."""

from typing import Final

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ecs.api.problem import REQUEST_ID_KEY

REQUEST_ID: Final = "ecs.request_id"


class TracedRequestMiddleware:
    """Gives the span of a request its id, as the answer gives it to the client."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and tell the span as the answer begins."""

        async def send_traced(message: Message) -> None:
            if message["type"] == "http.response.start" and REQUEST_ID_KEY in scope:
                trace.get_current_span().set_attribute(REQUEST_ID, scope[REQUEST_ID_KEY])
            await send(message)

        await self.app(scope, receive, send_traced)
