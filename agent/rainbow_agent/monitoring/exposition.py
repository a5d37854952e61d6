"""Metrics as a scraper reads them, through prometheus_client.

Imported with the first scrape: the library takes 14 MiB, which an agent that no one scrapes does
not need.
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

from rainbow_agent.monitoring.metric_definitions import MetricDefinition, MetricKind
from rainbow_agent.monitoring.metrics import Measured, Sample
from rainbow_agent.runtime.counters import Distribution


class _Once(Collector):
    """Gives what was measured, once."""

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        """prometheus_client's side."""
        for definition, samples in self._measured:
            yield _metric(definition, samples)


def render(measured: Sequence[Measured], accept: str) -> tuple[str, bytes]:
    """Metrics as text, with those of this process.

    Args:
        measured: metrics and their samples.
        accept: the scraper's Accept header; it chooses between the two text formats.

    Returns:
        The content type and the text.
    """
    registry = CollectorRegistry()
    registry.register(_Once(measured))
    ProcessCollector(registry=registry)  # CPU seconds, memory, open files: the library's own names
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


def _metric(definition: MetricDefinition, samples: Sequence[Sample]) -> Metric:
    if definition.kind is MetricKind.INFO:
        info = InfoMetricFamily(definition.name, definition.text)
        for sample in samples:
            info.add_metric([], dict(zip(definition.labels, sample.labels, strict=True)))
        return info
    if definition.kind is MetricKind.HISTOGRAM:
        return _histogram(definition, samples)
    made = CounterMetricFamily if definition.kind is MetricKind.COUNTER else GaugeMetricFamily
    metric = made(definition.name, definition.text, labels=definition.labels)
    for sample in samples:
        if not isinstance(sample.value, Distribution):
            metric.add_metric(sample.labels, sample.value)
    return metric


def _histogram(definition: MetricDefinition, samples: Sequence[Sample]) -> Metric:
    metric = HistogramMetricFamily(definition.name, definition.text, labels=definition.labels)
    bounds = [*(repr(float(bound)) for bound in definition.buckets), "+Inf"]
    for sample in samples:
        if isinstance(sample.value, Distribution):
            heights = accumulate(sample.value.counts)
            metric.add_metric(
                sample.labels, list(zip(bounds, heights, strict=True)), sample.value.total
            )
    return metric
