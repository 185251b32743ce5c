"""A search of Elasticsearch as Grafana keeps it."""

from typing import Any

from grafana_foundation_sdk.builders import elasticsearch
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import elasticsearch as models

from tools.grafana_panels import Number, Search, Terms

TIME = "@timestamp"
DOCUMENTS = 500


def data_query(search: Search) -> elasticsearch.Dataquery:
    """Return the builder of a search."""
    query = elasticsearch.Dataquery().query(search.query).time_field(TIME)
    if not search.numbers:
        settings = elasticsearch.ElasticsearchRawDataSettings().size(str(DOCUMENTS))
        return query.metrics([elasticsearch.RawData().id("1").settings(settings)]).bucket_aggs([])
    numbers = [_number(number, str(at)) for at, number in enumerate(search.numbers, 1)]
    order = "_count" if search.numbers[0].kind == "count" else "1"
    buckets: list[Builder[Any]] = [
        _terms(terms, str(at), order) for at, terms in enumerate(search.by, len(numbers) + 1)
    ]
    if search.over_time:
        interval = elasticsearch.ElasticsearchDateHistogramSettings().interval("auto").min_doc_count("0")
        last = str(len(numbers) + len(buckets) + 1)
        buckets.append(elasticsearch.DateHistogram().id(last).field(TIME).settings(interval.trim_edges("0")))
    return query.metrics(numbers).bucket_aggs(buckets)


def _number(number: Number, name: str) -> Builder[Any]:
    if number.kind == "count":
        return elasticsearch.Count().id(name)
    if number.kind == "cardinality":
        return elasticsearch.UniqueCount().id(name).field(number.field)
    if number.kind == "max":
        return elasticsearch.Max().id(name).field(number.field)
    percents = elasticsearch.ElasticsearchPercentilesSettings().percents([str(one) for one in number.percents])
    return elasticsearch.Percentiles().id(name).field(number.field).settings(percents)


def _terms(terms: Terms, name: str, order: str) -> Builder[Any]:
    settings = (
        elasticsearch.ElasticsearchTermsSettings().order(models.TermsOrder.DESC).order_by(order).min_doc_count("1")
    )
    return elasticsearch.Terms().id(name).field(terms.field).settings(settings.size(str(terms.size)))
