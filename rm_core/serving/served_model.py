"""What a registered model is made of, as one file: ``ensemble.json``.

    ServedModel
      members   each: where its weights are, their checksum, how it reads records, where it comes from
      ensemble  scales, weights, rule, temperature; None: one model, whose rewards are given as they are

A member's place is an address that stays (``models:/NAME/VERSION``, ``models:/MODEL_ID``, a folder), or ``.``, the
folder that holds the file.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from data_pipeline.encoding.reading import Reading
from data_pipeline.errors import CorruptData
from rm_core.ensembles.ensemble import Ensemble
from rm_core.generation.config import CritiquesConfig, VerdictsConfig

__all__ = ["HERE", "SERVED_FILE", "ServedMember", "ServedModel"]

SERVED_FILE = "ensemble.json"
HERE = "."
FORMAT_VERSION = 1
_OF_SOME = ("critiques", "verdicts")


@dataclass(frozen=True, kw_only=True)
class ServedMember:
    """One reward model."""

    name: str
    model: str
    """Where its folder is: an address that stays, or `HERE`."""
    sha256: str
    """Of its ``model.json``, which lists the checksums of all its files."""
    text_only: bool
    reading: Reading
    lineage: dict[str, Any]
    """Where it comes from: registered name and version, MLflow run, recipe, fingerprint of its training data; what is
    not known is left out."""
    critiques: CritiquesConfig | None = None
    """Of a critic, where its critiques come from; of an ensemble, those that its scale was measured with."""
    verdicts: VerdictsConfig | None = None
    """What a judge is asked, and how one that reasons writes; of an ensemble, what its scale was measured with. None:
    all pairs, at once."""

    def to_json(self) -> dict[str, Any]:
        """As dicts, lists and numbers; without what other reward models do not have."""
        return {name: value for name, value in asdict(self).items() if name not in _OF_SOME or value is not None}


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """The content of ``ensemble.json``."""

    members: tuple[ServedMember, ...]
    ensemble: Ensemble | None
    token_budget: int
    """Tokens a packed row holds at most."""
    patch_budget: int
    """Vision patches (14 x 14 pixels, with Qwen3-VL 16 x 16) a packed row holds at most."""
    fitted: dict[str, Any] = field(default_factory=dict)
    """On what: fingerprint and split of the data, counts, seed; members whose weights were averaged."""

    def to_json(self) -> dict[str, Any]:
        """As dicts, lists and numbers."""
        made = None if self.ensemble is None else self.ensemble.to_json()
        members = [member.to_json() for member in self.members]
        return {"format_version": FORMAT_VERSION} | asdict(self) | {"members": members, "ensemble": made}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], url: str = SERVED_FILE) -> "ServedModel":
        """What `to_json` gave; `url` is for messages.

        Raises:
            CorruptData: it is something else.
        """
        version = content.get("format_version")
        if version != FORMAT_VERSION:
            raise CorruptData(f"{url!r} has format_version {version!r}, this program reads {FORMAT_VERSION}")
        try:
            given = {one.name: content[one.name] for one in fields(cls)}
            members = tuple(_member(member) for member in given.pop("members"))
            made = given.pop("ensemble")
            return cls(members=members, ensemble=None if made is None else Ensemble.from_json(made), **given)
        except (KeyError, TypeError) as error:
            raise CorruptData(f"{url!r} is no ensemble ({type(error).__name__}: {error})") from error


def _member(content: Mapping[str, Any]) -> ServedMember:
    critiques, verdicts = map(content.get, _OF_SOME)
    return ServedMember(
        **{
            **content,
            "reading": Reading.from_json(content["reading"]),
            "critiques": None if critiques is None else CritiquesConfig(**critiques),
            "verdicts": None if verdicts is None else VerdictsConfig(**verdicts),
        }
    )
