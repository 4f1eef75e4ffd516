"""What results of every kind share: JSON both ways, a run folder and what a notebook shows."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from gapkit.errors import DataError
from gapkit.results.provenance import SCHEMA, Provenance


@dataclass(frozen=True, kw_only=True)
class Result(ABC):
    """A result of a command.

    Attributes:
        provenance: versions, seed, hashes, options.
    """

    kind: ClassVar[str]
    """As the JSON says it."""
    noun: ClassVar[str]
    """With its article, as messages say it."""
    command: ClassVar[str]
    """That makes it."""

    provenance: Provenance = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: ``schema``, ``kind``, then the fields."""
        return {"schema": SCHEMA, "kind": self.kind, **asdict(self)}

    def to_json(self) -> str:
        """The text of ``result.json``; NaN and infinity cannot occur."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read ``to_json`` again.

        Raises:
            DataError: the text is no result of this kind and schema.
        """
        try:
            content = json.loads(text)
            if (content.pop("schema"), content.pop("kind")) != (SCHEMA, cls.kind):
                raise KeyError("kind")
            return cls(**cls._read(content), provenance=Provenance(**content["provenance"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"result: not {cls.noun} ({type(error).__name__}: {error})",
                expected=f"the JSON of `gapkit {cls.command}`, schema {SCHEMA}",
                remedy=f"{cls.command} again with this version of gapkit",
            ) from error

    @classmethod
    @abstractmethod
    def _read(cls, content: dict[str, Any]) -> dict[str, Any]:
        """The fields but the provenance, from the JSON object."""

    @abstractmethod
    def table(self) -> str:
        """The table that the command prints, as plain text."""

    @abstractmethod
    def plot(self, figure: str = "") -> Any:
        """A matplotlib figure."""

    def _repr_html_(self) -> str:
        """What a notebook shows: the first figure and the tables."""
        from gapkit.reports.html import fragment

        return fragment(self)

    def save(self, folder: str | Path) -> Path:
        """Write ``figures/``, ``report.html`` and ``result.json`` into ``folder`` and return it."""
        from gapkit.reports.folder import write_run

        return write_run(self, Path(folder))
