from __future__ import annotations

from codeocean.custom_metadata import CustomMetadataFieldType, CustomMetadataSchema

from tests.contract.sdk_coverage import covers


@covers(CustomMetadataSchema, "get_custom_metadata")
def test_custom_metadata_schema_is_read(user):
    schema = user.custom_metadata.get_custom_metadata()
    fields = {field.name: field for field in schema.fields}
    assert schema.categories == ["Experiment", "Quality"]
    assert fields["modality"].allowed_values == ["ecephys", "ophys", "behavior", "confocal"]
    assert fields["acquired"].type is CustomMetadataFieldType.Date
    assert (fields["score"].range.min, fields["score"].range.max, fields["score"].units) == (0, 100, "%")
    assert fields["tracers"].multiple
