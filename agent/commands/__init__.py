"""What each command does. Facts go to stdout, everything said to a person to stderr."""
