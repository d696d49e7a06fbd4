"""The one table of commands: each with the function that runs it, which is imported only when the command is called.

The long entries have files of their own: `cluster_commands` and `job_commands`.
"""

from data_pipeline.bounds import Bounds
from jobs.cli.cluster_commands import CLUSTER
from jobs.cli.command import EXIT_USER, CommandGroup, Option, PlainCommand, RecipeCommand
from jobs.cli.job_commands import JOBS, SUBMIT

__all__ = ["COMMANDS"]

COMMANDS: dict[str, RecipeCommand | CommandGroup | PlainCommand] = {
    "init-model": RecipeCommand(
        "write a model folder with random weights, a tokenizer and a processor",
        "jobs.init_model:run",
        "basereward init-model demo init_model.shape=tiny",
    ),
    "import-model": RecipeCommand(
        "make another program's reward model (Skywork-VL-Reward, ms-swift, TRL, R1-Reward) one of ours",
        "jobs.import_model:run",
        "basereward import-model mine.yaml import_model.source=models/Skywork-VL-Reward-7B",
    ),
    "export-model": PlainCommand(
        "write a trained reward model so that plain Transformers and vLLM score with it",
        "jobs.export_model:run",
        "basereward export-model runs/demo/train/export demo-reward",
        positionals=("MODEL", "FOLDER"),
        options={"dtype": Option("as_saved", "type of the backbone's weights: as_saved, float32 or bfloat16")},
        positionals_help="a model folder of ours, local or s3://; and the folder to write, local or s3://",
    ),
    "fetch": RecipeCommand(
        "bring the recipe's data sets from the Hugging Face hub, checked and resumable, to data_root",
        "jobs.fetch.fetch:run",
        "basereward fetch paper/mixture data_root=s3://bucket/raw --dry-run",
        flags={"dry-run": "say which files, how many bytes and which licences, and fetch nothing"},
    ),
    "write-reasonings": RecipeCommand(
        "have a language model write why one answer of each pair is better, as data for a judge that reasons",
        "jobs.reasonings.write_reasonings:run",
        "basereward write-reasonings mine.yaml reasonings.judge.url=http://host:8000/v1 reasonings.judge.model=NAME",
    ),
    "preprocess": RecipeCommand(
        "turn raw preference records into checked, tokenised Arrow shards",
        "jobs.preprocess.preprocess:run",
        "basereward preprocess demo preprocess.workers=4",
    ),
    "plan": RecipeCommand(
        "say whether a training fits its GPUs, how long it takes and what it costs",
        "jobs.plan:run",
        "basereward plan scale/7b_zero2 plan.gpus=64 plan.gpu=h100-80gb",
    ),
    "train": RecipeCommand(
        "train a reward model on prepared shards",
        "jobs.train.train:run",
        "basereward train demo train.zero.stage=3 train.num_workers=2",
    ),
    "evaluate": RecipeCommand(
        "measure a reward model on held-out Comparisons and write a report",
        "jobs.evaluate.evaluate:run",
        "basereward evaluate demo evaluate.split=heldout",
    ),
    "compare": PlainCommand(
        "compare two evaluated models on the same Comparisons: which is better, and is it more than chance",
        "jobs.evaluate.compare:run",
        "basereward compare 3f0c 81ab recipe=demo",
        positionals=("RUN", "RUN"),
        options={
            "recipe": Option(None, "the recipe whose MLflow store has the runs"),
            "tracking.uri": Option(None, "that store itself"),
            "output": Option("compare.html", "the page"),
            "items": Option(20, "Comparisons to list for each side", Bounds(at_least=0)),
            "suite": Option(None, "a published benchmark that both were measured on, in place of the split"),
            "confidence": Option(
                95, "of the intervals, in percent", Bounds(above=0, below=100, cure="in percent, such as 95")
            ),
        },
        flags={
            "json": "print JSON in place of tables and page",
            "common": "compare what both scored, leave out the rest",
        },
        positionals_help=(
            "an MLflow run, by the beginning of its id or its name, or a folder with scored.parquet, local or s3://"
        ),
    ),
    "score": RecipeCommand(
        "add rewards to JSON lines",
        "jobs.evaluate.score:run",
        "basereward score demo score.input=mine.jsonl score.output=scored.jsonl",
    ),
    "serve": RecipeCommand(
        "answer requests for rewards over HTTP, until Ctrl-C",
        "jobs.serve.entry:run",
        "basereward serve runs/demo/train/export serve.port=8000",
        model_key="serve.model",
    ),
    "rl": RecipeCommand(
        "train a policy by GRPO with rewards of a reward model, and watch what the rewards stand for",
        "jobs.rl.rl:run",
        "basereward rl mine.yaml rl.reward.kind=hybrid",
        flags={"sample": "write answers with their rewards, and the best ones, in place of a training"},
    ),
    "sweep": RecipeCommand(
        "train and evaluate a recipe in many variants, several at once, and report on them",
        "jobs.sweep.sweep:run",
        "basereward sweep mine.yaml sweep.max_concurrent=4 --dry-run",
        flags={"dry-run": "print the trials, their GPUs, hours and cost, and start nothing"},
        has_variants=True,
    ),
    "ensemble": RecipeCommand(
        "put several reward models together as one registered model, fitted and judged on held-out Comparisons",
        "jobs.ensemble.ensemble:run",
        "basereward ensemble mine.yaml ensemble.rule=accuracy",
    ),
    "promote": RecipeCommand(
        "make the candidate the champion, if it is better on the same held-out Comparisons",
        "jobs.ensemble.promote:run",
        "basereward promote mine.yaml",
    ),
    "models": CommandGroup(
        "registered models: list them, register a trained one",
        {
            "list": PlainCommand(
                "list every version of every registered model with its aliases",
                "jobs.registry.commands:list_versions",
                "basereward models list tracking.uri=sqlite:///runs/demo/mlflow.db",
                positionals=(),
                options={"tracking.uri": Option(None, "the MLflow store; unset: MLFLOW_TRACKING_URI")},
            ),
            "register": PlainCommand(
                "make a trained model the next version of a registered model",
                "jobs.registry.commands:register",
                "basereward models register runs/demo/train/export demo-7b tracking.uri=sqlite:///runs/demo/mlflow.db",
                positionals=("MODEL", "NAME"),
                options={"tracking.uri": Option(None, "the MLflow store; unset: MLFLOW_TRACKING_URI")},
                positionals_help="an export of basereward train, runs:/RUN_ID or models:/MODEL_ID; and the name",
            ),
        },
    ),
    "runs": RecipeCommand(
        "list the runs of a recipe's MLflow experiment: state, progress, loss, held-out accuracy",
        "jobs.tracking.runs:run",
        "basereward runs demo",
    ),
    "ui": RecipeCommand(
        "open MLflow's pages of a recipe's runs in a browser: serves an SQLite store here, names a server's address",
        "jobs.tracking.ui:run",
        "basereward ui demo tracking.ui_port=5000",
    ),
    "data": CommandGroup(
        "look at prepared data: show a page, compare two, verify the files",
        {
            "show": PlainCommand(
                "write one HTML page about prepared data: counts, sizes, refused records, Comparisons to look at",
                "jobs.preprocess.inspect:show",
                "basereward data show runs/demo/shards samples=50",
                positionals=("FOLDER",),
                options={
                    "output": Option("data.html", "the page"),
                    "samples": Option(24, "Comparisons to show, 0 to 200", Bounds(at_least=0, at_most=200)),
                    "seed": Option(0, "another seed shows others", Bounds(at_least=0)),
                },
            ),
            "diff": PlainCommand(
                "say what changed between two preparations: settings, inputs, counts, Comparisons",
                "jobs.preprocess.inspect:diff",
                "basereward data diff shards/manifests/1f0c.json shards",
                positionals=("A", "B"),
                flags={"json": "print JSON in place of tables"},
                exit_failed=EXIT_USER,
            ),
            "verify": PlainCommand(
                "read every file of prepared data against its checksum",
                "jobs.preprocess.inspect:verify",
                "basereward data verify s3://bucket/shards",
                positionals=("FOLDER",),
            ),
        },
    ),
    "submit": SUBMIT,
    "jobs": JOBS,
    "cluster": CLUSTER,
    "demo": RecipeCommand(
        "run the whole way on synthetic data: records, shards, training, report",
        "jobs.demo:run",
        "basereward demo",
        default_recipe="demo",
    ),
}
