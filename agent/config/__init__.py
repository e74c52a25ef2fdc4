"""The shape of the configuration files, how they are loaded, and how their mistakes are told to a person."""
