"""The deployment's schema of custom metadata, defined by administrators."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from airflow_provider_codeocean.api.models.base import (
    ObjectList,
    OptionalBool,
    OptionalNumber,
    OptionalObject,
    OptionalStr,
    ResponseModel,
    StrList,
    StrOrEmpty,
    lenient_enum,
    lenient_value,
)


class CustomMetadataFieldType(StrEnum):
    """The type of a field; a date is sent as Unix seconds."""

    STRING = "string"
    NUMBER = "number"
    DATE = "date"


class CustomMetadataRange(ResponseModel):
    """The minimum and maximum value of a field."""

    min: OptionalNumber = None
    max: OptionalNumber = None


class CustomMetadataField(ResponseModel):
    """A field of custom metadata.

    :ivar name: key of the field.
    :ivar type: string, number or date.
    :ivar range: bounds of the value.
    :ivar allowed_values: the allowed values, strings or numbers; empty allows any.
    :ivar multiple: whether multiple values are allowed.
    :ivar units: unit of the value.
    :ivar category: name of the field's category.
    :ivar required: whether every data asset must have a value.
    """

    name: StrOrEmpty = ""
    type: Annotated[
        CustomMetadataFieldType | str | None, BeforeValidator(lenient_enum(CustomMetadataFieldType))
    ] = None
    range: OptionalObject[CustomMetadataRange] = None
    allowed_values: Annotated[
        list[Any], BeforeValidator(lambda v: lenient_value(v) if isinstance(v, list) else [])
    ] = Field(default_factory=list)
    multiple: OptionalBool = None
    units: OptionalStr = None
    category: OptionalStr = None
    required: OptionalBool = None


class CustomMetadata(ResponseModel):
    """The schema: all fields and their categories."""

    characteristic_fields = ("fields", "categories")

    fields: ObjectList[CustomMetadataField] = Field(default_factory=list)
    categories: StrList = Field(default_factory=list)
