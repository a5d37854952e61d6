"""Metrics as text for a scraper, through Prometheus' own client library.

Importing this module imports that (20 ms, 2 MiB): import it with the first scrape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from rainbow_agent.families import Family, Kind, Measured, Sample
from rainbow_agent.meters import Distribution


class _Once(Collector):
    """Gives what was measured, once."""

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        """prometheus_client's side."""
        for family, samples in self._measured:
            yield _metric(family, samples)


def render(measured: Sequence[Measured], accept: str) -> tuple[str, bytes]:
    """Families as text, with those of this process.

    Args:
        measured: families and their samples.
        accept: the scraper's Accept header; it chooses between the two text formats.

    Returns:
        The content type and the text.
    """
    registry = CollectorRegistry()
    registry.register(_Once(measured))
    ProcessCollector(registry=registry)  # CPU seconds, memory, open files: the library's own names
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


def _metric(family: Family, samples: Sequence[Sample]) -> Metric:
    if family.kind is Kind.INFO:
        info = InfoMetricFamily(family.name, family.text)
        for sample in samples:
            info.add_metric([], dict(zip(family.labels, sample.labels, strict=True)))
        return info
    if family.kind is Kind.HISTOGRAM:
        return _histogram(family, samples)
    made = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = made(family.name, family.text, labels=family.labels)
    for sample in samples:
        if not isinstance(sample.value, Distribution):
            metric.add_metric(sample.labels, sample.value)
    return metric


def _histogram(family: Family, samples: Sequence[Sample]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.text, labels=family.labels)
    bounds = [*(repr(float(bound)) for bound in family.buckets), "+Inf"]
    for sample in samples:
        if isinstance(sample.value, Distribution):
            heights = accumulate(sample.value.counts)
            metric.add_metric(
                sample.labels, list(zip(bounds, heights, strict=True)), sample.value.total
            )
    return metric
