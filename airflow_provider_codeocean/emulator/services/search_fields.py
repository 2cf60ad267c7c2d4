"""The searchable fields of data assets and capsules. Only free text searches the description."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from airflow_provider_codeocean.emulator.domain.records import Capsule, DataAsset
from airflow_provider_codeocean.emulator.domain.requests import CapsuleSearchParams, DataAssetSearchParams
from airflow_provider_codeocean.emulator.services.search import (
    Page,
    PageQuirks,
    Predicate,
    SearchIndex,
    search,
)
from airflow_provider_codeocean.emulator.services.session import Session

COMMON_FILTER_KEYS = frozenset({"name", "description", "tags"})


def _flatten_to_text(*values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, list):
            yield from _flatten_to_text(*value)
        elif value is not None:
            yield str(value)


DATA_ASSET_TEXT_GETTERS: dict[str, Callable[[DataAsset], Iterable[str]]] = {
    "name": lambda asset: (asset.name,),
    "tag": lambda asset: asset.tags,
    "description": lambda asset: (asset.description,),
    "custom_metadata": lambda asset: _flatten_to_text(*asset.custom_metadata.values()),
    "run_script": lambda asset: _flatten_to_text((asset.provenance or {}).get("run_script")),
    "commit_id": lambda asset: _flatten_to_text((asset.provenance or {}).get("commit")),
    "contained_data_id": lambda asset: [contained["id"] for contained in asset.contained_data_assets],
}

CAPSULE_TEXT_GETTERS: dict[str, Callable[[Capsule], Iterable[str]]] = {
    "id": lambda capsule: (capsule.id,),
    "name": lambda capsule: (capsule.name,),
    "tag": lambda capsule: capsule.tags,
    "description": lambda capsule: (capsule.description,),
    "field": lambda capsule: (capsule.research_field,),
    "doi": lambda capsule: _flatten_to_text(capsule.credit_fields.get("doi")),
    "affiliation": lambda capsule: _flatten_to_text(capsule.credit_fields.get("affiliation")),
    "journal": lambda capsule: _flatten_to_text(capsule.credit_fields.get("journal")),
    "article": lambda capsule: _flatten_to_text(capsule.credit_fields.get("article")),
    "author": lambda capsule: _flatten_to_text(capsule.credit_fields.get("author")),
    "data_assets": lambda capsule: [attached["id"] for attached in capsule.data_assets],
}


def search_data_assets(session: Session, params: DataAssetSearchParams) -> tuple[Page[DataAsset], float]:
    """Search for data assets.

    :param session: the request's session.
    :param params: parameters of the search.
    :returns: one page, and the time of the index.
    """
    timestamp = session.emulator.search_index_time()
    metadata = frozenset(field.name for field in session.emulator.config.custom_metadata.fields)
    index = SearchIndex[DataAsset](
        query_fields=frozenset(DATA_ASSET_TEXT_GETTERS) - {"description", "custom_metadata"},
        free_text_fields=("name", "tag", "description", "custom_metadata"),
        text_getters=DATA_ASSET_TEXT_GETTERS,
        sort_keys={
            "created": lambda asset: asset.created,
            "type": lambda asset: asset.type,
            "name": lambda asset: asset.name.casefold(),
            "size": lambda asset: asset.size if asset.state(timestamp) == "ready" else 0,
        },
        filter_keys=COMMON_FILTER_KEYS | metadata,
        get_filter_values=_get_filter_values,
    )
    tests: list[Predicate[DataAsset]] = []
    if params.type:
        tests.append(lambda asset: asset.type == params.type)
    if params.origin:
        external = params.origin == "external"
        tests.append(lambda asset: asset.with_finished_transfer(timestamp).is_external == external)
    page = search(
        index,
        session.store.data_assets,
        params,
        sort_field=params.sort_field,
        timestamp=timestamp,
        caller=session.caller,
        extra_predicates=tests,
        quirks=_match_page_quirks(session),
    )
    return page, timestamp


def search_capsules(session: Session, kind: str, params: CapsuleSearchParams) -> Page[Capsule]:
    """Search for capsules or for pipelines.

    :param session: the request's session.
    :param kind: `capsule` or `pipeline`.
    :param params: parameters of the search.
    :returns: one page.
    """
    index = SearchIndex[Capsule](
        query_fields=frozenset(CAPSULE_TEXT_GETTERS) - {"description", "data_assets"},
        # The id of a data asset as free text finds the capsules that it is attached to.
        free_text_fields=("name", "tag", "description", "field", "author", "data_assets"),
        text_getters=CAPSULE_TEXT_GETTERS,
        sort_keys={
            "created": lambda capsule: capsule.created,
            "name": lambda capsule: capsule.name.casefold(),
            "last_accessed": lambda capsule: capsule.last_accessed,
        },
        filter_keys=COMMON_FILTER_KEYS,
        get_filter_values=_get_filter_values,
    )
    tests: list[Predicate[Capsule]] = [lambda capsule: capsule.kind == kind]
    if params.status:
        tests.append(lambda capsule: capsule.status == params.status)
    return search(
        index,
        session.store.capsules,
        params,
        sort_field=params.sort_field,
        timestamp=session.emulator.search_index_time(),
        caller=session.caller,
        extra_predicates=tests,
        quirks=_match_page_quirks(session),
    )


def _match_page_quirks(session: Session) -> PageQuirks:
    overlap = session.match_quirk("overlap_pages")
    return PageQuirks(
        overlap=overlap.rule.count if overlap else 0,
        repeats_token=session.match_quirk("repeat_token") is not None,
        is_endless=session.match_quirk("endless_pages") is not None,
    )


def _get_filter_values(record: DataAsset | Capsule, key: str) -> list[Any]:
    match key:
        case "tags":
            return record.tags
        case "name":
            return [record.name]
        case "description":
            return [record.description]
        case _:
            value = record.custom_metadata.get(key) if isinstance(record, DataAsset) else None
            return value if isinstance(value, list) else [value]
