"""The settings of `forwarder setup kibana`."""

from typing import Annotated, ClassVar

from pydantic import StringConstraints

from forwarder.config.types import Secret
from forwarder.setup.server_settings import ServerSettings

DEFAULT_SPACE = "default"


class KibanaSettings(ServerSettings):
    """The address of a Kibana server, with its `server.basePath` if it has one, and the credentials for it.

    Attributes:
        space: the id of the space for the dashboards.
        api_key: an API key of Elasticsearch, encoded or as `id:key`.
    """

    key_option: ClassVar[str] = "--api-key"
    key_name: ClassVar[str] = "an API key"

    space: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+$")] = DEFAULT_SPACE
    api_key: Secret | None = None

    @property
    def root(self) -> str:
        """The URL of the space, without a slash at its end."""
        return self.url if self.space == DEFAULT_SPACE else f"{self.url}/s/{self.space}"
