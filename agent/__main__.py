"""`python -m agent` is `intagly-agent`."""

from agent.cli import main

if __name__ == "__main__":
    main()
