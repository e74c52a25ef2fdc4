"""What `setup` asks: the few things it cannot know, each with a default, each tried as soon as it is answered."""

import socket
from collections.abc import Callable, Sequence, Set
from copy import deepcopy
from pathlib import Path
from typing import Any

from agent.commands.finding import Finding
from agent.commands.setup_asking import Asked, Unanswered
from agent.commands.setup_draft import Draft
from agent.commands.setup_found import Around
from agent.config.model import AgentSettings, OperatorApiSettings
from agent.config.mqtt import MqttSettings
from agent.config.printer import BambuSettings, MaterialSettings, MoonrakerSettings, OctoPrintSettings
from agent.discovery.found import FoundBroker, FoundPrinter, name_of
from agent.slicers.profiles import ProfileLibrary

Try = Callable[[Draft, str], Sequence[Finding]]
"""What `check` says, of one subject, of the configuration as it would be."""
_BAMBU_PROFILES = {"P1S": "bambu-p1s", "P1P": "bambu-p1s", "X1C": "bambu-x1c", "X1E": "bambu-x1c", "A1": "bambu-a1"}
_AGAIN, _KEEP, _LEAVE = "again", "keep", "leave out"


class Questions:
    """Asks, and fills the draft."""

    def __init__(self, asked: Asked, around: Around, profiles: ProfileLibrary, attempt: Try) -> None:
        self._ask, self._around, self._profiles, self._try = asked, around, profiles, attempt
        self.left_out: list[str] = []
        """Why something that was found is not set up."""

    # --- the agent ---------------------------------------------------------------------------------------------------
    def agent(self, draft: Draft, data_dir: str) -> None:
        ask = self._ask
        name = ask.option(AgentSettings, "name", "What shall this agent be called", name_of(socket.gethostname(), "agent"))
        where = ask.option(AgentSettings, "data_dir", "Where shall orders, models and photos be kept", data_dir)
        draft.add("agent", {"name": name, "data_dir": where})
        self._marketplace(draft)
        self._ask.say("\nask: the agent advises on each offer and you answer. auto: it answers itself.")
        draft.add("acceptance", {"mode": ask.choice("How are offers answered", ("ask", "auto"), "ask")})
        self._broker(draft)
        address = ask.text("Where are you called, as ntfys://host/topic (Enter: nowhere yet)", "")
        if address:
            draft.add("notifications", {"urls_file": draft.put_secret("notifications", address)})

    def _marketplace(self, draft: Draft) -> None:
        self._ask.say("\noperator_api: a marketplace on the network. hot_folder: a folder of yours that models are put into.")
        kind = self._ask.choice("Where do orders come from", ("operator_api", "hot_folder", "none"), "hot_folder")
        if kind == "hot_folder":
            draft.add("marketplaces", {"kind": kind, "name": "walk-in", "path": self._ask.text("Its folder", "inbox")})
        while kind == "operator_api":
            name = self._ask.option(OperatorApiSettings, "name", "What shall it be called", "intagly")
            url = self._ask.option(OperatorApiSettings, "url", "The address of its API", None)
            token = self._ask.secret("The access token (not shown)")
            attempt = deepcopy(draft)
            attempt.add("marketplaces", {"kind": kind, "name": name, "url": url, "token": token})
            if self._settled(attempt, f"marketplace {name}") != _AGAIN:
                draft.add("marketplaces", {"kind": kind, "name": name, "url": url, "token": token})
                return

    def _broker(self, draft: Draft) -> None:
        found = next(iter(self._around.found.brokers), None)
        if not self._ask.yes("\nIs there to be a dashboard over MQTT (Home Assistant)", found is not None):
            return
        while True:
            values = self._broker_at(found or FoundBroker("homeassistant.local", 1883, ""))
            attempt = deepcopy(draft)
            attempt.add("mqtt", values)
            settled = self._settled(attempt, "dashboard")
            if settled == _KEEP:
                draft.add("mqtt", values)
            if settled != _AGAIN:
                return

    def _broker_at(self, found: FoundBroker) -> dict[str, Any]:
        ask = self._ask
        values = {"host": ask.option(MqttSettings, "host", "The broker", found.host)}
        values["port"] = ask.option(MqttSettings, "port", "Its port", found.port)
        if values["port"] == 8883:
            values["tls"] = True
        if username := ask.text("The user name there (Enter: it wants none)", ""):
            values |= {"username": username, "password": ask.secret("The password (not shown)")}
        return values

    # --- printers ----------------------------------------------------------------------------------------------------
    def printers(self, draft: Draft, taken: Set[str]) -> None:
        """Those that were found and are not set up yet, and then any other. `taken`: names, addresses and serial numbers of the others."""
        for found in self._around.found.printers:
            where = found.url or found.host
            if taken & {found.name, found.url, found.serial} or not self._ask.yes(
                f"\nSet up the {found.kind} printer “{found.says}” at {where}", True
            ):
                continue
            try:
                self._printer(draft, found)
            except Unanswered as question:
                self.left_out.append(f"{found.says} at {where}: nobody answered “{question}”")
        while self._ask.yes("\nIs there another printer" if draft.printers else "\nSet up a printer by hand", False):
            kind = self._ask.choice("What does it listen to", ("octoprint", "moonraker", "bambu"))
            self._printer(draft, FoundPrinter(kind, kind, kind, ""))  # type: ignore[arg-type]

    def _printer(self, draft: Draft, found: FoundPrinter) -> None:
        while True:
            values = {"octoprint": self._octoprint, "moonraker": self._moonraker, "bambu": self._bambu}[found.kind](draft, found)
            values |= self._what_it_is(found)
            attempt = deepcopy(draft)
            attempt.add_printer(values)
            settled = self._settled(attempt, f"printer {values['name']}")
            if settled == _KEEP:
                draft.add_printer(values)
            if settled != _AGAIN:
                return

    def _octoprint(self, _draft: Draft, found: FoundPrinter) -> dict[str, Any]:
        ask = self._ask
        values = {"name": ask.option(OctoPrintSettings, "name", "What shall it be called", found.name), "kind": "octoprint"}
        values["url"] = ask.option(OctoPrintSettings, "url", "The address of OctoPrint", found.url or None)
        values["api_key"] = ask.secret("An application key of it (in OctoPrint: Settings, Application Keys; not shown)")
        return values

    def _moonraker(self, draft: Draft, found: FoundPrinter) -> dict[str, Any]:
        ask = self._ask
        values = {"name": ask.option(MoonrakerSettings, "name", "What shall it be called", found.name), "kind": "moonraker"}
        values["url"] = ask.option(MoonrakerSettings, "url", "The address of Moonraker", found.url or None)
        if found.wants_key or not found.url:
            key = ask.secret("Moonraker's API key (Enter: it asks for none; not shown)", may_be_empty=not found.wants_key)
            values |= {"api_key": key} if key else {}
        ours = (draft.config or {}).get("mqtt", {})
        question = "The instance_name in [mqtt] of moonraker.conf"
        values["instance_name"] = ask.option(MoonrakerSettings, "instance_name", question, found.instance or None)
        values["mqtt_host"] = ask.option(MoonrakerSettings, "mqtt_host", "The MQTT broker that Moonraker speaks to", ours.get("host"))
        values["mqtt_port"] = ask.option(MoonrakerSettings, "mqtt_port", "Its port", ours.get("port", 1883))
        if username := ask.text("The agent's user name there (Enter: it wants none)", ours.get("username", "")):
            values |= {"mqtt_username": username, "mqtt_password": ask.secret("The password (not shown)")}
        return values

    def _bambu(self, _draft: Draft, found: FoundPrinter) -> dict[str, Any]:
        ask = self._ask
        values = {"name": ask.option(BambuSettings, "name", "What shall it be called", found.name), "kind": "bambu"}
        values["host"] = ask.option(BambuSettings, "host", "Its address", found.host or None)
        values["serial"] = ask.option(BambuSettings, "serial", "Its serial number", found.serial or None)
        values["model"] = ask.choice("Which model is it", ("P1P", "P1S", "X1C", "X1E", "A1", "A1 mini", "P2S", "H2D"), found.model or None)
        values["access_code"] = ask.secret("The access code it shows in its network settings (not shown)")
        values["ca_file"] = str(Path(ask.text("The file with Bambu Lab's certificate authority (docs/printers.md)", None)).absolute())
        return values

    def _what_it_is(self, found: FoundPrinter) -> dict[str, Any]:
        ask, names = self._ask, self._profiles.names()
        general = "generic-klipper" if found.kind == "moonraker" else "generic-marlin"
        likely = _BAMBU_PROFILES.get(found.model) or (general if general in names else None)
        self._ask.say("\nA profile is a printer model, with its bed and its nozzle. `intagly-agent profiles` tells them apart.")
        values: dict[str, Any] = {"profile": ask.choice("Which profile is it", names, likely)}
        profile = self._profiles.profile(values["profile"])
        slicer = next((program for program in profile.slicers if program in self._around.slicers), profile.slicers[0])
        if slicer != "prusaslicer":
            values["slicer"] = slicer
        values["materials"] = [self._spool(profile.materials)]
        while ask.yes("Is another spool loaded", False):
            values["materials"].append(self._spool(profile.materials))
        return values

    def _spool(self, materials: Sequence[str]) -> dict[str, Any]:
        material = self._ask.choice("Which material is loaded", materials, "PLA" if "PLA" in materials else materials[0])
        name = self._ask.text("Its colour, as orders name it", "black")
        code = self._ask.text("Its colour as #rrggbb (Enter: not known)", "#1a1a1a" if name == "black" else "")
        left = self._ask.text("Grams on the spool (Enter: not tracked)", "")
        spool: dict[str, Any] = {"material": material, "color": {"name": name, "hex": code} if code else {"name": name}}
        return spool | ({"remaining_g": self._grams(left)} if left else {})

    def _grams(self, given: str) -> Any:
        """As a number; what is none is asked again."""
        return float(given) if given.isdecimal() else self._ask.option(MaterialSettings, "remaining_g", "Grams, as a number", 1000)

    # --- trying ------------------------------------------------------------------------------------------------------
    def _settled(self, attempt: Draft, subject: str) -> str:
        """Tried at once; where that went wrong a person says what becomes of it."""
        findings = self._try(attempt, subject)
        wrong = [finding for finding in findings if finding.level == "error"]
        for finding in findings:
            color = {"ok": "green", "warning": "yellow", "error": "red"}[finding.level]
            self._ask.say(f"    {finding.text}" + (f" — {finding.hint}" if finding.hint else ""), color)
        return (
            self._ask.choice("That did not work. What now", (_AGAIN, _KEEP, _LEAVE), _AGAIN if self._ask.is_there else _KEEP)
            if wrong
            else _KEEP
        )
