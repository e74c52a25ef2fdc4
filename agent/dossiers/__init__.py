"""One order as one file: everything the agent knows of it, readable, and changed by nobody unseen."""
