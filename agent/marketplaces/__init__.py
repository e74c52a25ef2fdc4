"""Marketplaces: where offers come from, all behind ports.marketplace."""
