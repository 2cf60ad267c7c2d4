"""The configuration: the fields of the `--config` file (JSON) and of `EmulatorConfig` in tests."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_codeocean.emulator.domain.clock import Policy
from airflow_provider_codeocean.emulator.domain.errors import format_validation_errors
from airflow_provider_codeocean.emulator.domain.faults import FaultRule

Scope = Literal["capsule:read", "capsule:write", "data_asset:read", "data_asset:write"]
RequestKind = Literal["search", "read", "submit", "change"]
ResultKind = Literal["standard", "data_description", "log", "none"]

ALL_SCOPES: tuple[Scope, ...] = ("capsule:read", "capsule:write", "data_asset:read", "data_asset:write")
MAX_SEARCH_LAG_SECONDS = 600.0
"""How long replaced records are kept for a lagging search index."""


class ConfigError(ValueError):
    """The configuration is invalid; the message names the key."""


def _check_version(value: str) -> str:
    if not re.fullmatch(r"\d+\.\d+\.\d+", value):
        raise ValueError("should look like 4.8.0")
    return value


class StrictModel(BaseModel):
    """Base class of settings: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Transitions(StrictModel):
    """The duration of new work, by kind.

    :param assets: from draft to ready or failed.
    :param computations: from initializing to completed, for capsules without their own policy.
    :param transfers: from the request to `last_transferred` or `transfer_error`.
    :param releases: from the request to the new version.
    """

    assets: Policy = Policy(seconds=3, jitter=0.5)
    computations: Policy = Policy(seconds=3, jitter=0.5)
    transfers: Policy = Policy(seconds=2, jitter=0.5)
    releases: Policy = Policy(seconds=2)

    @classmethod
    def all(cls, policy: Policy) -> Self:
        """Use one policy for all kinds of work.

        :param policy: the policy; `Policy()` finishes work at once.
        :returns: the transitions.
        """
        return cls(assets=policy, computations=policy, transfers=policy, releases=policy)


class RateLimit(StrictModel):
    """A rate limit for requests to the API: a token bucket that fills at a constant rate.

    :param kind: kind of the limited requests: `search`; `read` (GET and file listings); `submit` (creating
        data assets, starting runs); `change` (all others). By default, it limits all requests together.
    :param requests_per_second: 0 means no limit.
    :param burst: maximum number of requests at once; one second's worth by default.
    :param retry_after: whether a rejection has a `Retry-After` with the time to wait; a number is sent
        unchanged.
    """

    kind: RequestKind | None = None
    requests_per_second: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    burst: int | None = Field(default=None, ge=1)
    retry_after: bool | Annotated[int, Field(ge=0)] = True


class TokenConfig(StrictModel):
    """An access token.

    :param token: the token itself; generated (`cop_…`) by default.
    :param scopes: the scopes of the token; `write` includes `read`.
    """

    token: str | None = Field(default=None, min_length=1)
    scopes: tuple[Scope, ...] = ALL_SCOPES


class UserConfig(StrictModel):
    """A user of the deployment.

    :param email: email of the user; an existing user with this email is changed.
    :param name: name to show on pages; the email by default.
    :param admin: whether the user is an admin, who may see and do everything.
    :param groups: the user's groups.
    :param tokens: access tokens; one with all scopes by default.
    """

    email: str = Field(min_length=3, pattern=r"^\S+@\S+$")
    name: str = ""
    admin: bool = False
    groups: tuple[str, ...] = ()
    tokens: tuple[TokenConfig, ...] = (TokenConfig(),)


class BucketConfig(StrictModel):
    """A bucket outside Code Ocean.

    :param name: name of the bucket.
    :param origin: cloud of the bucket.
    :param public: whether it is readable without credentials (`source.aws.public`).
    :param writable: whether results may be stored and assets transferred there.
    :param objects: contents (text) by key.
    """

    name: str = Field(min_length=1)
    origin: Literal["aws", "gcp"] = "aws"
    public: bool = False
    writable: bool = False
    objects: dict[str, str] = Field(default_factory=dict)


class RunConfig(StrictModel):
    """The course of a capsule's runs.

    :param policy: duration of the runs; `transitions.computations` by default.
    :param exit_code: exit code; if it is not 0, `end_status` is failed.
    :param crash: whether runs end in state `failed` prematurely.
    :param results: kind of result files.
    :param failing_process: process of a pipeline that fails, except in a resumed run.
    """

    policy: Policy | None = None
    exit_code: int = 0
    crash: bool = False
    results: ResultKind = "standard"
    failing_process: str | None = None


class CapsuleConfig(StrictModel):
    """A capsule or pipeline that everyone may see and run.

    :param name: display name.
    :param kind: `capsule` or `pipeline`.
    :param owner: email of the owner; the default admin by default.
    :param everyone: role of all other users; `none` hides it.
    :param runs: the course of its runs.
    :param processes: names of the processes of a pipeline, in order.
    """

    name: str = Field(min_length=1)
    kind: Literal["capsule", "pipeline"] = "capsule"
    processes: tuple[str, ...] = ()
    owner: str | None = None
    everyone: Literal["viewer", "discoverable", "none"] = "viewer"
    runs: RunConfig = RunConfig()


class MetadataRange(StrictModel):
    """The range of a number or date.

    :param min: smallest value; None for no limit.
    :param max: largest value; None for no limit.
    """

    min: float | None = None
    max: float | None = None


class MetadataField(StrictModel):
    """A custom metadata field of the deployment.

    :param name: key of the field.
    :param type: type of the value; dates are in Unix seconds.
    :param range: smallest and largest number or date.
    :param allowed_values: the only allowed values.
    :param multiple: whether a list of values is allowed.
    :param units: units of the value, for display.
    :param category: one of the schema's categories.
    :param required: whether a data asset must have it.
    """

    name: str = Field(min_length=1)
    type: Literal["string", "number", "date"] = "string"
    range: MetadataRange | None = None
    allowed_values: tuple[str, ...] | tuple[float, ...] | None = None
    multiple: bool = False
    units: str | None = None
    category: str | None = None
    required: bool = False


class MetadataSchema(StrictModel):
    """The custom metadata of the deployment.

    :param fields: the fields of data assets.
    :param categories: categories that group the fields.
    """

    fields: tuple[MetadataField, ...] = ()
    categories: tuple[str, ...] = ()


DEFAULT_METADATA_SCHEMA = MetadataSchema(
    categories=("Experiment", "Quality"),
    fields=(
        MetadataField(
            name="modality",
            category="Experiment",
            allowed_values=("ecephys", "ophys", "behavior", "confocal"),
        ),
        MetadataField(name="subject id", category="Experiment"),
        MetadataField(name="experiment type", category="Experiment"),
        MetadataField(name="data level", category="Experiment", allowed_values=("raw", "derived")),
        MetadataField(name="tracers", category="Experiment", multiple=True),
        MetadataField(name="acquired", type="date", category="Experiment"),
        MetadataField(
            name="score", type="number", category="Quality", units="%", range=MetadataRange(min=0, max=100)
        ),
    ),
)


class EmulatorConfig(StrictModel):
    """All settings.

    :param server_version: the Code Ocean version to emulate; newer endpoints return 404.
    :param payload_style: `2.x` returns data assets in the format of 2.x deployments.
    :param clock: `real` or `manual`; a manual clock moves only by `POST /_emulator/advance`.
    :param seed: random seed for jitter and for the probability of faults.
    :param url_ttl: validity of download URLs, in seconds.
    :param search_lag: how far search lags behind writes, in seconds.
    :param rate_limit: one rate limit, or a list with one for each kind of request.
    :param transitions: duration of new work.
    :param users: additional users, or changes to the two default users.
    :param groups: groups that may have no members.
    :param buckets: additional buckets.
    :param capsules: additional capsules and pipelines.
    :param custom_metadata: schema of the custom metadata.
    :param faults: initial fault rules.
    """

    server_version: Annotated[str, AfterValidator(_check_version)] = "4.8.0"
    payload_style: Literal["modern", "2.x"] = "modern"
    clock: Literal["real", "manual"] = "real"
    seed: int = 0
    url_ttl: float = Field(default=300.0, gt=0)
    search_lag: float = Field(default=0.0, ge=0, le=MAX_SEARCH_LAG_SECONDS)
    rate_limit: RateLimit | tuple[RateLimit, ...] = ()
    transitions: Transitions = Transitions()
    users: tuple[UserConfig, ...] = ()
    groups: tuple[str, ...] = ()
    buckets: tuple[BucketConfig, ...] = ()
    capsules: tuple[CapsuleConfig, ...] = ()
    custom_metadata: MetadataSchema = DEFAULT_METADATA_SCHEMA
    faults: tuple[FaultRule, ...] = ()


def load_config(path: Path) -> EmulatorConfig:
    """Read a configuration file.

    :param path: a JSON file with the fields of `EmulatorConfig`, all optional.
    :returns: the configuration.
    :raises ConfigError: if the file cannot be read, or has an unknown key or an invalid value.
    """
    try:
        return EmulatorConfig.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigError(f"{path}: {format_validation_errors(error.errors())}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
