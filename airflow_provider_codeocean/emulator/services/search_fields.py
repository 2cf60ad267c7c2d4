"""Fields of data assets and capsules that search reads; 'description' is found by free text only."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from airflow_provider_codeocean.emulator.domain.records import Capsule, DataAsset
from airflow_provider_codeocean.emulator.domain.requests import CapsuleSearchParams, DataAssetSearchParams
from airflow_provider_codeocean.emulator.services.search import Index, Page, PageQuirks, Test, search
from airflow_provider_codeocean.emulator.services.session import Session

COMMON_FILTERS = frozenset({"name", "description", "tags"})


def _words(*values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, list):
            yield from _words(*value)
        elif value is not None:
            yield str(value)


DATA_ASSET_TEXTS: dict[str, Callable[[DataAsset], Iterable[str]]] = {
    "name": lambda asset: (asset.name,),
    "tag": lambda asset: asset.tags,
    "description": lambda asset: (asset.description,),
    "custom_metadata": lambda asset: _words(*asset.custom_metadata.values()),
    "run_script": lambda asset: _words((asset.provenance or {}).get("run_script")),
    "commit_id": lambda asset: _words((asset.provenance or {}).get("commit")),
    "contained_data_id": lambda asset: [contained["id"] for contained in asset.contained],
}

CAPSULE_TEXTS: dict[str, Callable[[Capsule], Iterable[str]]] = {
    "id": lambda capsule: (capsule.id,),
    "name": lambda capsule: (capsule.name,),
    "tag": lambda capsule: capsule.tags,
    "description": lambda capsule: (capsule.description,),
    "field": lambda capsule: (capsule.research_field,),
    "doi": lambda capsule: _words(capsule.credits.get("doi")),
    "affiliation": lambda capsule: _words(capsule.credits.get("affiliation")),
    "journal": lambda capsule: _words(capsule.credits.get("journal")),
    "article": lambda capsule: _words(capsule.credits.get("article")),
    "author": lambda capsule: _words(capsule.credits.get("author")),
    "data_assets": lambda capsule: [attached["id"] for attached in capsule.data_assets],
}


def search_data_assets(session: Session, params: DataAssetSearchParams) -> tuple[Page[DataAsset], float]:
    """Search for data assets.

    :param session: of the request.
    :param params: what is asked for.
    :returns: one page, and the moment it shows.
    """
    moment = session.emulator.indexed_moment()
    metadata = frozenset(field.name for field in session.emulator.config.custom_metadata.fields)
    index = Index[DataAsset](
        query_fields=frozenset(DATA_ASSET_TEXTS) - {"description", "custom_metadata"},
        free_fields=("name", "tag", "description", "custom_metadata"),
        texts=DATA_ASSET_TEXTS,
        sort_keys={
            "created": lambda asset: asset.created,
            "type": lambda asset: asset.type,
            "name": lambda asset: asset.name.casefold(),
            "size": lambda asset: asset.size if asset.state(moment) == "ready" else 0,
        },
        filter_keys=COMMON_FILTERS | metadata,
        filter_values=_filter_values,
    )
    tests: list[Test[DataAsset]] = []
    if params.type:
        tests.append(lambda asset: asset.type == params.type)
    if params.origin:
        external = params.origin == "external"
        tests.append(lambda asset: asset.settled(moment).external == external)
    page = search(
        index,
        session.store.data_assets,
        params,
        sort_field=params.sort_field,
        moment=moment,
        caller=session.caller,
        also=tests,
        quirks=_page_quirks(session),
    )
    return page, moment


def search_capsules(session: Session, kind: str, params: CapsuleSearchParams) -> Page[Capsule]:
    """Search for capsules or for pipelines.

    :param session: of the request.
    :param kind: which of the two.
    :param params: what is asked for.
    :returns: one page.
    """
    index = Index[Capsule](
        query_fields=frozenset(CAPSULE_TEXTS) - {"description", "data_assets"},
        # Free text that is the id of a data asset finds the capsules that it is attached to.
        free_fields=("name", "tag", "description", "field", "author", "data_assets"),
        texts=CAPSULE_TEXTS,
        sort_keys={
            "created": lambda capsule: capsule.created,
            "name": lambda capsule: capsule.name.casefold(),
            "last_accessed": lambda capsule: capsule.last_accessed,
        },
        filter_keys=COMMON_FILTERS,
        filter_values=_filter_values,
    )
    tests: list[Test[Capsule]] = [lambda capsule: capsule.kind == kind]
    if params.status:
        tests.append(lambda capsule: capsule.status == params.status)
    return search(
        index,
        session.store.capsules,
        params,
        sort_field=params.sort_field,
        moment=session.emulator.indexed_moment(),
        caller=session.caller,
        also=tests,
        quirks=_page_quirks(session),
    )


def _page_quirks(session: Session) -> PageQuirks:
    overlap = session.quirk("overlap_pages")
    return PageQuirks(
        overlap=overlap.rule.count if overlap else 0,
        repeats_token=session.quirk("repeat_token") is not None,
        is_endless=session.quirk("endless_pages") is not None,
    )


def _filter_values(record: DataAsset | Capsule, key: str) -> list[Any]:
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
