"""An order's path, from an offer to a delivered parcel, over ports only."""
