"""Loading the configuration: merges flags, environment and file, and names the source of whatever is wrong.

Owns the TOML file's own form (``[[model]]`` tables, paths relative to the file); ``config`` owns the settings.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from peernode.errors import PeernodeError
from peernode.node.config import NESTED, PREFIX, NodeConfig
from peernode.node.model_entry import read_model_entries

CONFIG_VARIABLE = f"{PREFIX}CONFIG"


class ConfigError(PeernodeError):
    """A setting is unknown or out of range; the cause names it and where it stands."""

    code = "bad_config"


def load_config(flags: Mapping[str, Any] | None = None, *, config_file: Path | None = None) -> NodeConfig:
    """The configuration of a node. ``flags`` holds what the command line gave, and only that.

    Raises ConfigError, or OpenBindRefused for an HTTP address that is open to everybody.
    """
    given = dict(flags or {})
    named = config_file or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    in_file = _read_file(named) if named else {}

    class Loaded(NodeConfig):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, EnvSettingsSource(settings_cls), InitSettingsSource(settings_cls, in_file))

    try:
        return Loaded(**given)
    except SettingsError as err:  # an environment variable that should be JSON and is not
        raise ConfigError(
            "A PEERNODE_ variable cannot be read.",
            cause=str(err)[:200],
            remedy=f"Set single values, like {PREFIX}ENGINE{NESTED}SLOTS=4.",
        ) from err
    except ValidationError as err:
        raise _Written(given, in_file, named).explain(err) from err


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.expanduser().open("rb") as file:
            values = tomllib.load(file)
    except OSError as err:
        raise ConfigError(
            "The configuration file cannot be read.",
            cause=f"{path}: {(err.strerror or '').lower()}",
            remedy="Name another file with --config, or none.",
        ) from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigError("The configuration file is not TOML.", cause=f"{path}: {err}") from err
    tables = values.pop("model", [])
    listed = read_model_entries(values.pop("models", []))
    if tables or listed:
        if not isinstance(tables, list) or not isinstance(listed, list):
            raise ConfigError(
                "The models in the configuration file are not a list.",
                cause=str(path),
                remedy='Write [[model]] tables, or models = ["NAME=PATH"].',
            )
        values["models"] = [_beside(path, entry) for entry in [*listed, *tables]]
    return values


def _beside(file: Path, entry: object) -> object:
    """Paths in a file are relative to that file, wherever the node is started."""
    if not isinstance(entry, dict):
        return entry
    placed = {key: _placed(file, value) if key in {"path", "projector"} else value for key, value in entry.items()}
    if isinstance(entry.get("lora"), list):
        placed["lora"] = [_beside(file, adapter) for adapter in entry["lora"]]
    return placed


def _placed(file: Path, path: object) -> object:
    return str(file.expanduser().absolute().parent / Path(path).expanduser()) if isinstance(path, str) else path


@dataclass(frozen=True)
class _Written:
    """What was written where, to name the source of a setting."""

    flags: Mapping[str, Any]
    in_file: Mapping[str, Any]
    path: Path | None

    def explain(self, error: ValidationError) -> ConfigError:
        problems = error.errors(include_url=False, include_context=False)
        unknown = any(found["type"] == "extra_forbidden" for found in problems)
        return ConfigError(
            "The configuration is not valid.",
            cause="; ".join(self._describe(found) for found in problems[:5]),
            remedy="`peernode serve --help` and the files in configs/ show what there is." if unknown else "",
        )

    def _describe(self, found: ErrorDetails) -> str:
        unknown = found["type"] == "extra_forbidden"
        what = "there is no such setting" if unknown else found["msg"].removeprefix("Value error, ")
        return f"{self._origin([str(part) for part in found['loc']])}: {what[:1].lower()}{what[1:]}"

    def _origin(self, names: Sequence[str]) -> str:
        """The flag, the variable, or the key in the file."""
        if _holds(self.flags, names):
            return f"--{'model' if names[0] == 'models' else '-'.join(names).replace('_', '-')}"
        variables = {name.upper() for name in os.environ}
        for depth in range(len(names), 0, -1):
            variable = PREFIX + NESTED.join(names[:depth]).upper()
            if variable in variables:
                return variable
        key = ".".join(names)
        return f"{key} in {self.path}" if self.path and _holds(self.in_file, names) else key


def _holds(values: Mapping[str, Any], names: Sequence[str]) -> bool:
    inner = values.get(names[0]) if names else None
    if isinstance(inner, Mapping) and len(names) > 1:
        return _holds(inner, names[1:])
    return bool(names) and names[0] in values
