"""The [metrics] table: figures for Prometheus."""

from pydantic import Field

from agent.config.values import Section


class MetricsSettings(Section):
    """Figures for Prometheus at /metrics of the web page's address. Without a page there are none."""

    enabled: bool = Field(False, description="Serve them.")
    open_on_this_machine: bool = Field(
        True,
        description="Programs on this machine need no token, where the page listens on 127.0.0.1 and no proxy stands in front of it. "
        "Everybody else sends one made by `intagly-agent people token NAME --scope metrics`.",
    )
