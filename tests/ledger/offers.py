"""Offers into a ledger, one at a time."""

from datetime import datetime

from agent.domain.offer import Offer
from agent.domain.order import Order
from agent.ports.ledger import Ledger


def add_offer(ledger: Ledger, marketplace: str, offer: Offer, accept_by: datetime) -> Order | None:
    """None where it is known already."""
    added = ledger.add_offers(marketplace, [(offer, accept_by)])
    return added[0] if added else None
