"""rainbow-agent: makes a Flux MiniCluster a working member of a rainbow fleet."""

__version__ = "0.1.0"
