"""The deployment's schema of custom metadata, as its administrators defined it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from airflow_provider_codeocean.api.models.base import (
    Flag,
    Many,
    Maybe,
    Name,
    Number,
    Payload,
    Text,
    Texts,
    read_value,
    reader_of,
)


class CustomMetadataFieldType(StrEnum):
    """What a field holds; a date is sent as Unix seconds."""

    STRING = "string"
    NUMBER = "number"
    DATE = "date"


class CustomMetadataRange(Payload):
    """The least and the greatest value that a field takes."""

    min: Number = None
    max: Number = None


class CustomMetadataField(Payload):
    """One field of custom metadata.

    :ivar name: key of the field.
    :ivar type: string, number or date.
    :ivar range: bounds of the value.
    :ivar allowed_values: the only values allowed, where there are any: strings or numbers.
    :ivar multiple: whether it takes more than one value.
    :ivar units: unit of the value.
    :ivar category: name of the group that the field is shown in.
    :ivar required: whether a data asset must have it.
    """

    name: Name = ""
    type: Annotated[
        CustomMetadataFieldType | str | None, BeforeValidator(reader_of(CustomMetadataFieldType))
    ] = None
    range: Maybe[CustomMetadataRange] = None
    allowed_values: Annotated[
        list[Any], BeforeValidator(lambda v: read_value(v) if isinstance(v, list) else [])
    ] = Field(default_factory=list)
    multiple: Flag = None
    units: Text = None
    category: Text = None
    required: Flag = None


class CustomMetadata(Payload):
    """The schema: all fields and the categories that they are shown in."""

    essential = ("fields", "categories")

    fields: Many[CustomMetadataField] = Field(default_factory=list)
    categories: Texts = Field(default_factory=list)
