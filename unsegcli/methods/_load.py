"""Load a method by name or file, and combine its settings; only the method's own module is executed."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import math
import sys
import traceback
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsegcli import console, methods
from unsegcli.core.vector_space import Layer
from unsegcli.errors import ConfigError, DataError, UnsegError, closest
from unsegcli.methods._contract import LoopSettings, Method
from unsegcli.methods._older import RENAMED, was_removed, with_todays_names
from unsegcli.parsing import toml_of
from unsegcli.presets import read_preset

REQUIRED = ("Config", "Network", "loss", "cluster_scores")
INSTEAD = {"cluster_scores": "embeddings"}  # for a method whose clusters are found after training
ROLES = ("clusters", "mask")
NEEDED = ("superpixels", "regions", "proposals")
MAY_LACK = {"min_steps"}  # optional settings of the loop
OWN_MODULE = "unsegcli_users_method_"  # followed by the digest, so that two files of one name are two modules
IN_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class Loaded:
    """A method and its name."""

    name: str
    module: Method
    digest: str = ""  # of the file, for a user's own method

    @property
    def identity(self) -> str:
        """Identity of the method in recipes and models; never a path."""
        return f"{self.name} {self.digest}" if self.digest else self.name

    @property
    def file(self) -> str:
        """Name of the method in messages."""
        return f"{self.name}.py" if self.digest else self.name

    @property
    def revision(self) -> int:
        """Revision of the method, incremented when the same settings give other results."""
        return int(getattr(self.module, "REVISION", 1))

    @property
    def embeds(self) -> bool:
        """Whether clusters are found after training, from embeddings."""
        return hasattr(self.module, "embeddings")

    @property
    def sees_vectors(self) -> bool:
        """Whether it takes the vectors of a file of features."""
        return bool(getattr(self.module, "SEES_VECTORS", False))

    def network(self, config: Any, channels: int, layers: tuple[Layer, ...] = ()) -> Any:
        """Build the network.

        Args:
            config: the settings.
            channels: number of bands; 0 = no pixels.
            layers: size and weight of each layer of the vectors of a file of features; () = there are none.
        """
        module: Any = self.module
        return module.Network(config, channels, *([layers] if self.sees_vectors else []))

    @property
    def role(self) -> str:
        """Meaning of the clusters: one of ROLES."""
        return str(getattr(self.module, "ROLE", ROLES[0]))

    def needs(self, config: Any) -> tuple[str, ...]:
        """What training batches must contain in addition to images: some of NEEDED."""
        asked = getattr(self.module, "needs", None)
        with mistakes_named(self, "needs"):
            found = () if asked is None else asked(config)
        if isinstance(found, str) or not all(isinstance(name, str) for name in found):
            raise ConfigError(f"--method {self.file}: needs(config) must return a tuple of names, not {found!r}")
        odd = [name for name in found if name not in NEEDED]
        if odd:
            only = ", ".join(NEEDED)
            raise ConfigError(f"--method {self.file}: needs(config) returned {', '.join(odd)}: choose from {only}")
        return ("superpixels", *found) if "regions" in found and "superpixels" not in found else tuple(found)


@contextmanager
def mistakes_named(method: Loaded, doing: str) -> Iterator[None]:
    """Convert an exception in a user's file to a one-line error with its line; `--verbose` shows the traceback."""
    try:
        yield
    except UnsegError:
        raise
    except Exception as error:
        if not method.digest:
            raise
        raise _named(error, method.file, str(getattr(method.module, "__file__", "")), doing) from error


def _named(error: Exception, shown: str, file: str, doing: str) -> DataError:
    console.detail("".join(traceback.format_exception(error)).rstrip())
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f"line {own[-1].lineno}, in {own[-1].name}" if own else f"in {doing}"
    said = next(iter(str(error).strip().splitlines()), "")
    return DataError(f"--method {shown}: {where}: {type(error).__name__}{': ' if said else ''}{said}")


def method_names() -> list[str]:
    """Return the names of the built-in methods: the files of this folder."""
    folder = Path(methods.__file__).parent
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def find_method(given: str) -> Loaded:
    """Load a built-in method by name, or a user's file."""
    if given.endswith(".py"):
        return _from_file(Path(given))
    name, known = given.lower(), method_names()
    if name not in known:
        guess = closest(name, known)
        raise ConfigError(f"--method {given}: is not one of {', '.join(known)}, nor a file that ends in .py{guess}")
    return Loaded(name, _checked(importlib.import_module(f"unsegcli.methods.{name}"), name))


def settings_of(
    method: Loaded,
    preset: str | None = None,
    file: str | Path | None = None,
    sets: Sequence[str] = (),
    classes: int | None = None,
) -> Any:
    """Build the Config of a method from its defaults, preset, file, `key=value` pairs, and number of clusters."""
    values: dict[str, Any] = dict(read_preset(method.name, preset))
    if file is not None:
        values |= with_todays_names(_read_toml(Path(file)))
    values |= dict(_split(pair) for pair in sets)
    values |= {} if classes is None else {"classes": classes}
    return config_from(method, values)


def config_from(method: Loaded, values: Mapping[str, Any]) -> Any:
    """Build a Config from names and values, converted to the types of the fields; refuse unknown names."""
    config = method.module.Config
    types_of = typing.get_type_hints(config)
    known = [field.name for field in dataclasses.fields(config)]
    for name in values:
        if was_removed(method.identity, name):
            raise ConfigError(f"{name}: this setting of {method.name} was removed; leave it out")
        if name in RENAMED and name not in known:
            raise ConfigError(f"{name}: this setting is now called {RENAMED[name]}")
        if name not in known:
            hint = closest(name, list(known)) or f": choose from {', '.join(known)}"
            raise ConfigError(f"{method.name} has no setting {name}{hint}")
    return config(**{name: _as(types_of[name], value, name) for name, value in values.items()})


def _from_file(path: Path) -> Loaded:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise DataError(f"--method {path}: cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(source).hexdigest()[:16]
    name = OWN_MODULE + digest
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ConfigError(f"--method {path}: is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look up their module during execution
        try:
            spec.loader.exec_module(module)
        except SyntaxError as error:
            del sys.modules[name]
            raise DataError(f"--method {path}: line {error.lineno}: {error.msg}") from error
        except BaseException as error:
            del sys.modules[name]
            if isinstance(error, UnsegError) or not isinstance(error, Exception):
                raise
            raise _named(error, str(path), module.__file__ or "", path.stem) from error
    return Loaded(path.stem, _checked(sys.modules[name], str(path)), digest)


def _checked(module: types.ModuleType, name: str) -> Method:
    missing = [one for one in REQUIRED if not hasattr(module, one) and not hasattr(module, INSTEAD.get(one, one))]
    if missing:
        raise ConfigError(f"--method {name}: lacks {', '.join(missing)}; a method must have {', '.join(REQUIRED)}")
    config = module.Config
    if not (dataclasses.is_dataclass(config) and getattr(config, "__dataclass_params__").frozen):  # noqa: B009
        raise ConfigError(f"--method {name}: its Config must be a frozen dataclass")
    if hasattr(module, "NEEDS"):
        raise ConfigError(
            f"--method {name}: NEEDS is no longer supported; write a function instead: "
            f"`def needs(config): return {module.NEEDS!r}`"
        )
    if getattr(module, "ROLE", ROLES[0]) not in ROLES:
        raise ConfigError(f"--method {name}: its ROLE {module.ROLE!r} is not one of {', '.join(ROLES)}")
    settings = {field.name for field in dataclasses.fields(LoopSettings)} - MAY_LACK
    lacking = sorted(settings - {field.name for field in dataclasses.fields(config)})
    if lacking:
        raise ConfigError(f"--method {name}: its Config lacks {', '.join(lacking)}")
    return typing.cast(Method, module)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return toml_of(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"--config {path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"--config {path}: is not TOML ({error})") from error


def _split(pair: str) -> tuple[str, str]:
    name, sign, value = pair.partition("=")
    if not sign or not name:
        raise ConfigError(f"--set {pair}: must be key=value")
    return name.strip(), value.strip()


def _as(wanted: Any, value: Any, name: str) -> Any:
    """Convert a value (text, or from TOML or JSON) to the type of its field."""
    try:
        if wanted is bool:
            return _as_bool(value)
        if wanted is int:
            if isinstance(value, bool) or int(value) != float(value):
                raise ValueError
            return int(value)
        if wanted is float:
            if isinstance(value, bool) or not math.isfinite(float(value)):
                raise ValueError
            return float(value)
        if wanted is str:
            if not isinstance(value, str):
                raise ValueError
            return value
    except (ValueError, TypeError, OverflowError):
        pass
    else:
        raise ConfigError(f"{name}: fields of type {wanted} are not supported; use bool, int, float or str")
    raise ConfigError(f"{name} {value}: must be {IN_WORDS[wanted]}")


def _as_bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if isinstance(value, bool):
        return value
    return words[value.lower()] if isinstance(value, str) and value.lower() in words else _refuse()


def _refuse() -> bool:
    raise ValueError
