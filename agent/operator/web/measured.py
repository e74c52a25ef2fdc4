"""/metrics, for Prometheus."""

import ipaddress

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agent.domain.person import Scope
from agent.operator.metrics.exposition import MEDIA_TYPE
from agent.operator.metrics.metrics import Metrics
from agent.operator.web.visitors import Visitors

PATH = "/metrics"
_OF_A_PROXY = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def routes(metrics: Metrics, visitors: Visitors) -> APIRouter:
    router = APIRouter()

    @router.get(PATH, include_in_schema=False)
    async def told(request: Request) -> Response:
        if not (metrics.open_here and _of_this_machine(request)):
            visitors.token(request, Scope.METRICS)
        return Response(await metrics.text(), media_type=MEDIA_TYPE)

    return router


def _of_this_machine(request: Request) -> bool:
    """Not somebody for whom a proxy on this machine asks."""
    if request.client is None or any(name in request.headers for name in _OF_A_PROXY):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
