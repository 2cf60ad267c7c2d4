"""Files and folders."""

from __future__ import annotations

from airflow_provider_codeocean.api.models.folder import Folder, FolderItemType, FolderParams


def test_folder_items_of_each_type_are_read():
    folder = Folder.model_validate(
        {"items": [{"name": "tables", "type": "folder"}, {"name": "a.csv", "type": "file", "size": "12"}]}
    )
    assert [(item.name, item.type, item.size) for item in folder.items] == [
        ("tables", FolderItemType.FOLDER, None),
        ("a.csv", FolderItemType.FILE, 12),
    ]


def test_folder_item_with_empty_type_has_none():
    assert Folder.model_validate({"items": [{"name": "a.csv", "type": ""}]}).items[0].type is None


def test_folder_params_default_sends_an_empty_path():
    assert FolderParams().to_json() == {"path": ""}
