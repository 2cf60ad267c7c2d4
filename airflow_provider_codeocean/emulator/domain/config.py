"""What can be set: the fields of the `--config` file (JSON) and of `EmulatorConfig` in tests."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_codeocean.emulator.domain.clock import Policy
from airflow_provider_codeocean.emulator.domain.errors import describe_violations
from airflow_provider_codeocean.emulator.domain.faults import FaultRule

Scope = Literal["capsule:read", "capsule:write", "data_asset:read", "data_asset:write"]
RequestKind = Literal["search", "read", "submit", "change"]
ResultKind = Literal["standard", "data_description", "log", "none"]

ALL_SCOPES: tuple[Scope, ...] = ("capsule:read", "capsule:write", "data_asset:read", "data_asset:write")
MAX_SEARCH_LAG = 600.0
"""For how many seconds a replaced record is kept for a search index that lags behind."""


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key."""


def _check_version(value: str) -> str:
    if not re.fullmatch(r"\d+\.\d+\.\d+", value):
        raise ValueError("should look like 4.8.0")
    return value


class Settings(BaseModel):
    """Base of all settings: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Transitions(Settings):
    """How long work takes that starts from now on.

    :param assets: from draft to ready or failed.
    :param computations: from initializing to completed, where the capsule has no policy of its own.
    :param transfers: from the request to `last_transferred` or `transfer_error`.
    :param releases: from the request to the new version.
    """

    assets: Policy = Policy(seconds=3, jitter=0.5)
    computations: Policy = Policy(seconds=3, jitter=0.5)
    transfers: Policy = Policy(seconds=2, jitter=0.5)
    releases: Policy = Policy(seconds=2)

    @classmethod
    def all(cls, policy: Policy) -> Self:
        """Use one policy for everything.

        :param policy: for example `Policy()`, finished at once.
        :returns: the transitions.
        """
        return cls(assets=policy, computations=policy, transfers=policy, releases=policy)


class RateLimit(Settings):
    """A limit for requests to the API, as a bucket of tokens that fills evenly.

    :param kind: kind of requests that are limited: `search`; `read` (GET and file listings); `submit`
        (creating data assets, starting runs); `change` (anything else). All requests together if not given.
    :param requests_per_second: 0 means no limit.
    :param burst: how many requests may come at once; one second's worth if not given.
    :param retry_after: whether a rejection has a `Retry-After` with the time to wait; a number is sent
        instead of it.
    """

    kind: RequestKind | None = None
    requests_per_second: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    burst: int | None = Field(default=None, ge=1)
    retry_after: bool | Annotated[int, Field(ge=0)] = True


class TokenConfig(Settings):
    """An access token.

    :param token: the token itself; made up (`cop_…`) if not given.
    :param scopes: what it may be used for; `write` includes `read`.
    """

    token: str | None = Field(default=None, min_length=1)
    scopes: tuple[Scope, ...] = ALL_SCOPES


class UserConfig(Settings):
    """Somebody who uses the deployment.

    :param email: who; an email that is known already changes that user.
    :param name: shown on pages; the email if not given.
    :param admin: may see and do everything.
    :param groups: groups the user belongs to.
    :param tokens: one with all scopes if not given.
    """

    email: str = Field(min_length=3, pattern=r"^\S+@\S+$")
    name: str = ""
    admin: bool = False
    groups: tuple[str, ...] = ()
    tokens: tuple[TokenConfig, ...] = (TokenConfig(),)


class BucketConfig(Settings):
    """A bucket outside Code Ocean.

    :param name: its name.
    :param origin: whose storage it is.
    :param public: readable without credentials (`source.aws.public`).
    :param writable: whether results may be stored and assets transferred there.
    :param objects: contents (text) by key.
    """

    name: str = Field(min_length=1)
    origin: Literal["aws", "gcp"] = "aws"
    public: bool = False
    writable: bool = False
    objects: dict[str, str] = Field(default_factory=dict)


class RunConfig(Settings):
    """How the runs of a capsule go.

    :param policy: how long they take; `transitions.computations` if not given.
    :param exit_code: what they end with; not 0 makes `end_status` failed.
    :param crash: they end in state `failed`, without having run their course.
    :param results: which files they leave behind.
    """

    policy: Policy | None = None
    exit_code: int = 0
    crash: bool = False
    results: ResultKind = "standard"


class CapsuleConfig(Settings):
    """A capsule or pipeline that everyone may see and run.

    :param name: its name.
    :param kind: which of the two.
    :param owner: email of its owner; the default admin if not given.
    :param everyone: role of those who are not named; `none` hides it.
    :param runs: how its runs go.
    """

    name: str = Field(min_length=1)
    kind: Literal["capsule", "pipeline"] = "capsule"
    owner: str | None = None
    everyone: Literal["viewer", "discoverable", "none"] = "viewer"
    runs: RunConfig = RunConfig()


class MetadataRange(Settings):
    """The range of a number or date.

    :param min: smallest value, None for no end.
    :param max: largest value, None for no end.
    """

    min: float | None = None
    max: float | None = None


class MetadataField(Settings):
    """A custom metadata field that the deployment's admin has defined.

    :param name: its key.
    :param type: a date is given in Unix seconds.
    :param range: smallest and largest number or date.
    :param allowed_values: nothing else may be given.
    :param multiple: whether a list of values may be given.
    :param units: shown beside the value.
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


class MetadataSchema(Settings):
    """The custom metadata of the deployment.

    :param fields: what may be set on a data asset.
    :param categories: how the fields are grouped.
    """

    fields: tuple[MetadataField, ...] = ()
    categories: tuple[str, ...] = ()


DEFAULT_METADATA = MetadataSchema(
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


class EmulatorConfig(Settings):
    """Everything that can be set.

    :param server_version: the Code Ocean version to be; endpoints that are newer answer 404.
    :param payload_style: `2.x` answers data assets in the shape of that line of deployments.
    :param clock: a `manual` clock moves only by `POST /_emulator/advance`.
    :param seed: start of the random numbers for jitter and for the probability of faults.
    :param url_ttl: for how many seconds a download URL is valid.
    :param search_lag: by how many seconds search lags behind writes.
    :param rate_limit: a limit for requests to the API, or several, one for each kind of request.
    :param transitions: how long work takes.
    :param users: further users, or changes to the two that are always there.
    :param groups: groups nobody belongs to yet.
    :param buckets: further buckets.
    :param capsules: further capsules and pipelines.
    :param custom_metadata: the admin-defined fields of data assets.
    :param faults: what goes wrong from the start.
    """

    server_version: Annotated[str, AfterValidator(_check_version)] = "4.8.0"
    payload_style: Literal["modern", "2.x"] = "modern"
    clock: Literal["real", "manual"] = "real"
    seed: int = 0
    url_ttl: float = Field(default=300.0, gt=0)
    search_lag: float = Field(default=0.0, ge=0, le=MAX_SEARCH_LAG)
    rate_limit: RateLimit | tuple[RateLimit, ...] = ()
    transitions: Transitions = Transitions()
    users: tuple[UserConfig, ...] = ()
    groups: tuple[str, ...] = ()
    buckets: tuple[BucketConfig, ...] = ()
    capsules: tuple[CapsuleConfig, ...] = ()
    custom_metadata: MetadataSchema = DEFAULT_METADATA
    faults: tuple[FaultRule, ...] = ()


def load_config(path: Path) -> EmulatorConfig:
    """Read a configuration file.

    :param path: a JSON file with the fields of `EmulatorConfig`, all optional.
    :returns: the configuration.
    :raises ConfigError: if it cannot be read, has an unknown key or a wrong value; the message names the key.
    """
    try:
        return EmulatorConfig.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_violations(error.errors())}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
