"""Who answers at the address and at the broker, and who should: mistakes in the configuration, told as such."""

import asyncio
from dataclasses import dataclass

from agent.domain.errors import AgentError, NeedsOperator, Transient, Unsound
from agent.printers.moonraker.rpc import Rpc, RpcError, Silence
from agent.printers.moonraker.web import Identity, Web

_GOOD_FOR_S = 300.0
_BAD_FOR_S = 15.0
_ASIDE_S = 2.0
_WEB_S = 5.0


@dataclass(frozen=True)
class _Looked:
    at: float
    trouble: AgentError | None


class Whereabouts:
    """Both ways to one Moonraker, compared."""

    def __init__(self, rpc: Rpc, web: Web, instance_name: str) -> None:
        self._rpc, self._web, self._instance = rpc, web, instance_name
        self._looked: _Looked | None = None

    async def trouble(self) -> AgentError | None:
        """Why no file could be uploaded there now; looked up anew every few minutes, sooner where there was trouble."""
        now = asyncio.get_running_loop().time()
        known = self._looked
        if known is None or now - known.at > (_GOOD_FOR_S if known.trouble is None else _BAD_FOR_S):
            known = self._looked = _Looked(now, await self._look())
        return known.trouble

    async def why_silent(self, silence: Silence) -> AgentError:
        """A question was sent and not answered: by whom?"""
        if silence.code != "timeout":
            return silence
        if self._rpc.said_online is False:
            return Transient("Moonraker has left the broker.", hint="Is the printer on, and Moonraker running?", code="offline")
        if self._rpc.said_online:
            return await self._klipper_or_moonraker()
        return await self._look() or Unsound(
            f"Moonraker runs, but is not connected to this broker as '{self._instance}'.",
            hint="Compare [mqtt] in moonraker.conf with the printer's file; after a restart of the broker it takes seconds.",
            code="not_at_broker",
        )

    async def _klipper_or_moonraker(self) -> AgentError:
        try:
            await self._rpc.call("server.info", {}, _ASIDE_S)
        except RpcError as no:
            return Unsound(f"Moonraker answers {no}.", code=f"rpc_{no.code}")
        except Silence:
            if self._rpc.says_nonsense:
                hint = "Does something else write to its topic at the broker?"
                return Unsound("What Moonraker answers over MQTT cannot be read.", hint=hint, code="nonsense")
            return Unsound("Moonraker does not answer.", hint="Is enable_moonraker_api off in its [mqtt] section?", code="timeout")
        except AgentError as error:
            return error
        return Unsound("Klipper does not answer Moonraker.", hint="If it stays so, restart Klipper.", code="klipper_hangs")

    async def _look(self) -> AgentError | None:
        try:
            async with asyncio.timeout(_WEB_S):
                return self._compared(await self._web.identity())
        except TimeoutError:
            return Transient("Moonraker does not answer over HTTP.", hint="Is url right?", code="timeout")
        except AgentError as error:
            return error

    def _compared(self, who: Identity) -> AgentError | None:
        if not who.mqtt_works:
            hint = "Add an [mqtt] section to moonraker.conf, or look there at its warnings."
            return NeedsOperator("The Moonraker at url does not speak MQTT, or its [mqtt] section has failed.", hint=hint, code="no_mqtt")
        if who.instance_name is not None and who.instance_name != self._instance:
            return NeedsOperator(
                f"The Moonraker at url calls itself '{who.instance_name}' on MQTT, not '{self._instance}'.",
                hint="instance_name and url must be of the same printer.",
                code="wrong_instance",
            )
        return None
