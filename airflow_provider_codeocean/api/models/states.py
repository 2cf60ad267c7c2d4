"""States and types of data assets and computations, in a module that does not load pydantic."""

from __future__ import annotations

from enum import StrEnum


class DataAssetState(StrEnum):
    """The state of a data asset; ``ready`` and ``failed`` are final."""

    DRAFT = "draft"
    READY = "ready"
    FAILED = "failed"


class DataAssetType(StrEnum):
    """The type of a data asset."""

    DATASET = "dataset"
    RESULT = "result"
    COMBINED = "combined"
    MODEL = "model"


class ComputationState(StrEnum):
    """The state of a computation; ``completed`` and ``failed`` are final."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"


class ComputationEndStatus(StrEnum):
    """How a completed computation ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
