"""Tiny reward models as `basereward serve` loads them, and what else gives their rewards."""

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
from prepared_toys import scene
from served_toys import write_export

from data_pipeline.config import EncodeConfig, MediaConfig, SourceConfig
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import load_tokenizer, tokenizer_fingerprint, train_tokenizer
from data_pipeline.sources.readers.files import RowRange
from jobs.registry.pyfunc_model import add_served_files, one_model
from jobs.serve.models import find_model, load_model
from rm_core.ensembles.ensemble import Ensemble, Member
from rm_core.model_folder.folder import marker_sha256
from rm_core.packing.plan import PackBudget
from rm_core.scoring.lines import LineReader
from rm_core.scoring.scorer import Scorer
from rm_core.serving.config import ServeConfig
from rm_core.serving.served_model import ServedMember, ServedModel
from rm_core.serving.service import LoadedModel

TEXTS = ["What is it? It is a bus. Name a bird. A wren, a robin. Which colours are there? Red."]


class ServedModels:
    """A folder with a tokenizer, two pictures, and a model that sees them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        train_tokenizer(TEXTS, 300, str(folder / "tokens"))
        for name, seed in (("a", 1), ("b", 2)):
            (folder / f"{name}.png").write_bytes(scene(seed))
        self.reading = Reading(
            tokenizer=tokenizer_fingerprint(str(folder / "tokens")), max_tokens=300, max_source_pixels=1_000_000,
            max_source_bytes=1_000_000,
        )  # fmt: skip
        self.sees = self.export("sees", 1)

    def export(self, name: str, seed: int, shape: str = "tiny") -> str:
        return write_export(self.folder / name, shape, seed, self.folder / "tokens", reading=self.reading)

    def ensemble(self) -> str:
        """A folder that says of the model and of one that reads text alone how they are put together."""
        measured = {"weight": 1.0, "accuracy": 0.5, "margin": 1.0}
        folders = {"sees": self.sees, "words": self.export("words", 2, "qwen3-tiny")}
        served = ServedModel(
            members=tuple(
                ServedMember(
                    name=name, model=folder, sha256=marker_sha256(folder), text_only=name == "words",
                    reading=self.reading, lineage={},
                )
                for name, folder in folders.items()
            ),
            ensemble=Ensemble(
                members=tuple(
                    Member(name=name, text_only=name == "words", mean=0.1, spread=0.2, **measured) for name in folders
                ),
                rule="cautious", penalty=1.0, temperature=2.0, num_comparisons=10,
            ),
            token_budget=2048, patch_budget=2048,
        )  # fmt: skip
        place = str(self.folder / "ensemble")
        add_served_files(place, served)
        return place

    def load(self, config: ServeConfig, folder: str | None = None) -> LoadedModel:
        return load_model(find_model(folder or self.sees, None, asdict(self.reading)), config)

    def data_url(self, name: str) -> str:
        data = base64.b64encode((self.folder / f"{name}.png").read_bytes()).decode()
        return f"data:image/png;base64,{data}"

    def by_pyfunc(self, rows: list[dict[str, Any]], folder: str | None = None) -> pd.DataFrame:
        """What `mlflow.pyfunc` gives of rows with paths of pictures; of the model by itself, or of `folder`."""
        if folder is None:
            folder = self.export("pyfunc", 1)
            add_served_files(folder, one_model("one", folder, self.reading))
        loaded = mlflow.pyfunc.load_model(folder, model_config={"media_root": str(self.folder)})
        found: pd.DataFrame = loaded.predict(pd.DataFrame(rows))
        return found

    def by_score(self, rows: list[dict[str, Any]]) -> list[list[float]]:
        """What `basereward score` gives of them as lines, each alone in its packed row."""
        path = self.folder / "lines.jsonl"
        lines = [{"prompt": row["prompt"], "responses": row["responses"], "image": row["images"]} for row in rows]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf8")
        encoder = Encoder(load_tokenizer(self.sees), EncodeConfig())
        reader = LineReader(SourceConfig(name="s", path=str(path)), str(self.folder), encoder, MediaConfig(), 300)
        scorer = Scorer(self.sees, PackBudget(tokens=8192, patches=32768), attention="sdpa")
        found = []
        for line in reader.lines(RowRange(0, len(rows), 0)):
            assert line.encoded is not None, line.error
            found.append(list(scorer.score([line.encoded])[0]))
        return found
