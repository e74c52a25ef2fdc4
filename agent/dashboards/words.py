"""What Home Assistant shows, in English and German: one table for names, one for what a state can be.

Topics, keys and values on MQTT are the same in every language: an automation does not break when somebody changes it.
"""

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "de"]
_Words = Mapping[str, tuple[str, str]]

NAMES: _Words = {
    # the agent
    "status": ("Status", "Status"),
    "waiting": ("Waiting for you", "Wartet auf dich"),
    "waiting_offer": ("Offers to answer", "Angebote zu beantworten"),
    "waiting_hold": ("Orders with a question", "Aufträge mit einer Frage"),
    "waiting_bed": ("Beds to clear", "Druckbetten freizumachen"),
    "waiting_post_processing": ("Orders to post-process", "Aufträge zur Nachbearbeitung"),
    "waiting_photos": ("Orders to photograph", "Aufträge zu fotografieren"),
    "waiting_label": ("Labels to print", "Etiketten zu drucken"),
    "waiting_packed": ("Orders to pack", "Aufträge zu verpacken"),
    "waiting_dropped_off": ("Parcels to drop off", "Pakete abzugeben"),
    "open_orders": ("Open orders", "Offene Aufträge"),
    "to_print": ("Orders to print", "Aufträge zu drucken"),
    "deadline": ("Next deadline", "Nächste Frist"),
    "earnings": ("Earnings this month", "Verdienst in diesem Monat"),
    "attention": ("Needs attention", "Braucht Aufmerksamkeit"),
    "connected": ("Marketplaces reachable", "Marktplätze erreichbar"),
    "accepting": ("Online for offers", "Online für Angebote"),
    "auto_accept": ("Accept by itself", "Selbst annehmen"),
    "accept": ("Accept the offer", "Angebot annehmen"),
    "decline": ("Decline the offer", "Angebot ablehnen"),
    "order_event": ("Order event", "Ereignis"),
    "update": ("Version", "Version"),
    "message": ("Message to everybody called", "Nachricht an alle, die gerufen werden"),
    # a printer
    "state": ("State", "Zustand"),
    "order": ("Current order", "Aktueller Auftrag"),
    "job": ("Current job", "Aktueller Druck"),
    "progress": ("Progress", "Fortschritt"),
    "remaining": ("Time left", "Restzeit"),
    "eta": ("Ready at", "Fertig um"),
    "layer": ("Layer", "Schicht"),
    "layers": ("Layers", "Schichten"),
    "nozzle": ("Nozzle", "Düse"),
    "nozzle_target": ("Nozzle target", "Düse Soll"),
    "bed": ("Bed", "Druckbett"),
    "bed_target": ("Bed target", "Druckbett Soll"),
    "bed_state": ("Bed is", "Druckbett ist"),
    "filament": ("Filament left", "Filament übrig"),
    "reason": ("Reason", "Grund"),
    "online": ("Connected", "Verbunden"),
    "must_be_cleared": ("Bed must be cleared", "Druckbett muss frei werden"),
    "pause": ("Pause", "Pause"),
    "resume": ("Resume", "Fortsetzen"),
    "cancel": ("Cancel the print", "Druck abbrechen"),
    "bed_cleared": ("Bed is clear", "Druckbett ist frei"),
    "snapshot": ("Picture of the bed", "Bild vom Druckbett"),
    "camera": ("Camera", "Kamera"),
    "preview": ("Model", "Modell"),
}

STATES: Mapping[str, _Words] = {
    "status": {
        "idle": ("idle", "ruht"),
        "working": ("working", "arbeitet"),
        "waiting": ("waiting for you", "wartet auf dich"),
        "attention": ("needs attention", "braucht Aufmerksamkeit"),
    },
    "state": {
        "offline": ("offline", "nicht erreichbar"),
        "idle": ("idle", "bereit"),
        "preparing": ("preparing", "bereitet vor"),
        "printing": ("printing", "druckt"),
        "paused": ("paused", "angehalten"),
        "finished": ("finished", "fertig"),
        "cancelled": ("cancelled", "abgebrochen"),
        "failed": ("failed", "fehlgeschlagen"),
    },
    "bed_state": {
        "unknown": ("not known", "nicht bekannt"),
        "free": ("free", "frei"),
        "occupied": ("occupied", "belegt"),
    },
}
"""Key of an entity -> code on MQTT -> what is shown."""

UNITS: _Words = {"orders": ("orders", "Aufträge")}
AGENT: tuple[str, str] = ("Print agent", "Druckagent")


def name(key: str, language: Language) -> str:
    return _in(NAMES[key], language)


def unit(key: str, language: Language) -> str:
    return _in(UNITS[key], language)


def agent_name(agent: str, language: Language) -> str:
    return f"{_in(AGENT, language)} {agent}"


def shown(key: str, language: Language) -> dict[str, str]:
    """Code -> word, for an entity that has one of several states."""
    return {code: _in(words, language) for code, words in STATES[key].items()}


def _in(words: tuple[str, str], language: Language) -> str:
    return words[("en", "de").index(language)]
