"""Real servers on loopback that play marketplace and printer, and models made by rule. The product never imports them."""
