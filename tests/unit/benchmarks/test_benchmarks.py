"""The benchmarks of training steps on toys: both sides do the same work, and figures are what they are called."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from grouped_toys import grouped_toy, records_of_a_prompt
from toys import toy_comparison, toy_image

from benchmarks.checkpoint import __main__ as checkpoint
from benchmarks.common.goals import finish, judged
from benchmarks.gpu_step import __main__ as gpu_step
from benchmarks.gpu_step.cases import make_comparisons
from benchmarks.gpu_step.models import MasterAdamW, new_model
from benchmarks.gpu_step.parts import Scale, equality, price_of_recomputation, recompilations
from benchmarks.gpu_step.runs import Packed, Padded, Timed
from benchmarks.train_step import __main__ as train_step
from benchmarks.train_step.counts import as_padded_as, counts, flop_ratio, grouped
from benchmarks.train_step.figures import figures_of, summary
from benchmarks.train_step.prompts import PROMPTS, Prompt, given_prompts
from benchmarks.train_step.records import CASES, sample
from benchmarks.train_step.sides import ModelSize
from benchmarks.train_step.turns import SIDES, Given, in_steps, side_called, take_turn, worker
from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.model import compiled
from rm_core.model.backbone import load_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.reward_model import RewardModel
from rm_core.model.running import RECOMPUTE
from rm_core.model.vision_tower import PatchProduct

SIZE = ModelSize(
    shape="tiny",
    vocabulary=64,
    special_ids={
        "<|endoftext|>": 5,
        "<|image_pad|>": 1,
        "<|video_pad|>": 0,
        "<|vision_start|>": 2,
        "<|vision_end|>": 3,
    },
)
ITEMS = [
    *[toy_comparison(seed, images=(toy_image(seed),), prefix_text=4 + 3 * seed) for seed in range(3)],
    *[toy_comparison(seed, ranks=(1, 0, 2), prefix_text=9) for seed in range(3, 6)],
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tests run beside each other, and threads of two of them would wait for one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def figures() -> dict[str, object]:
    """Two turns of each side, in this process."""
    sides = {name: side_called("ours" if name == "ours" else "reference", SIZE, 64) for name in SIDES}
    given = [
        Given(ours=in_steps(items), reference=in_steps(items), grouped=in_steps(grouped(items)))
        for items in (ITEMS[:4], ITEMS[2:])
    ]
    turns = {name: [take_turn(side, getattr(one, name)) for one in given] for name, side in sides.items()}
    return figures_of(turns, given, SIZE)


def test_sides_train_alike(figures: dict[str, float]) -> None:
    """Rewards of the first step, and gradient norms; the sides share no code but the head."""
    assert 0 < figures["max_reward_difference"] < 1e-5
    assert figures["gradient_norm_difference"] < 1e-5


def test_a_side_works_in_a_process_of_its_own(figures: dict[str, float]) -> None:
    with worker("ours", SIZE, token_budget=64, threads=1) as far:
        step = far.turn([ITEMS[:4]]).steps[0]
        near = take_turn(side_called("ours", SIZE, 64), [ITEMS[:4]]).steps[0]
        for a, b in zip(step.rewards, near.rewards, strict=True):
            torch.testing.assert_close(a, b)
        with pytest.raises(RuntimeError, match="the process of one side has ended"):
            far.turn([[replace(ITEMS[0], response_ids=())]])


def test_sides_stay_together_over_steps() -> None:
    """The same update: rewards after two steps are those of the other side after two steps, and have moved."""
    ours, reference = side_called("ours", SIZE, 64), side_called("reference", SIZE, 64)
    first, second = ours.step(ITEMS[:4]), ours.step(ITEMS[:4])
    reference.step(ITEMS[:4])
    for a, b in zip(second.rewards, reference.step(ITEMS[:4]).rewards, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
    assert not torch.equal(first.rewards[0], second.rewards[0])


def test_figures_have_goals(figures: dict[str, float]) -> None:
    found = summary(dict.fromkeys((*(case.name for case in CASES), PROMPTS), figures))
    assert train_step.GOALS.keys() <= found.keys()
    for ending in ("", "_grouped"):
        assert found[f"of_bound_min{ending}"] == pytest.approx(figures[f"of_bound{ending}"])
        ratios = [found[f"{kind}_text{ending}"] for kind in ("ratio", "cpu_ratio", "flops_ratio")]
        assert min(ratios) > 0


def test_a_prompt_is_given_as_a_group_and_as_its_records() -> None:
    image, judged = toy_image(1), (((0, 1), (0, 1)), ((0, 2), (1, 0)), ((0, 3), (0, 1)))
    records = records_of_a_prompt(3, judged, images=(image,))
    prompt = Prompt(group=grouped_toy(records, judged, num_images=1), records=tuple(records))
    given = [given_prompts([prompt, prompt])]
    turns = {
        name: [take_turn(side_called("ours" if name == "ours" else "reference", SIZE, 128), getattr(one, name))]
        for one in given
        for name in SIDES
    }
    found = figures_of(turns, given, SIZE)
    assert (found["comparisons"], found["images"], found["images_reference"]) == (6, 1 / 3, 2)
    assert found["max_reward_difference"] < 1e-5 and found["gradient_norm_difference"] < 1e-4
    assert found["fewer_by_sharing"] > 2 and found["flops_ratio"] > 2


def test_counts_are_those_of_the_batches() -> None:
    found = counts(ITEMS)
    assert found["fewer_tokens"] == pytest.approx(found["fewer_by_packing"] * found["fewer_by_sharing"])
    assert found["tokens"] * 6 == sum(item.num_tokens for item in ITEMS)
    rows = [len(item.prefix_ids) + len(ids) for item in ITEMS for ids in item.response_ids]
    # Six and nine responses; the first micro-batch holds three pairs and a group of three.
    assert found["tokens_reference"] * 6 == 9 * max(rows[:9]) + 6 * max(rows[9:])
    assert found["tokens_grouped"] <= found["tokens_reference"]
    assert (found["images"] * 6, found["images_reference"] * 6) == (3, 6)


def test_flop_ratio_grows_with_what_is_repeated() -> None:
    """Of one Comparison without padding, the ratio is at most K, and nearer to it the longer the prompt."""
    short, long = (
        replace(ITEMS[3], response_ids=(np.arange(4, dtype=np.int32),) * 3, prefix_ids=np.arange(size, dtype=np.int32))
        for size in (4, 400)
    )
    assert 1 < flop_ratio([short], SIZE) < flop_ratio([long], SIZE)
    assert flop_ratio(grouped(ITEMS), SIZE) <= flop_ratio(ITEMS, SIZE) * 1.2


def test_sample_takes_even_quantiles() -> None:
    pool = [toy_with_length(length) for length in range(1, 101)]
    chosen = sample(pool, 4)
    assert [len(item.prefix_ids) for item in chosen] == [13, 38, 63, 88]
    assert len(sample(pool, 1000)) == 100


def test_a_sample_is_padded_as_its_pool() -> None:
    pool = [toy_with_length(length) for length in range(1, 101)]
    chosen = as_padded_as(pool, sample(pool, 8), seed=0)
    assert sorted(item.id for item in chosen) == sorted(item.id for item in sample(pool, 8))
    whole = counts(as_padded_as(pool, pool, seed=0, trials=1))["fewer_by_packing"]
    orders = [as_padded_as(pool, sample(pool, 8), seed=seed, trials=1) for seed in range(20)]
    by_luck = [abs(counts(order)["fewer_by_packing"] - whole) for order in orders]
    assert abs(counts(chosen)["fewer_by_packing"] - whole) < sorted(by_luck)[5]


def toy_with_length(length: int) -> EncodedComparison:
    item = replace(ITEMS[3], id=f"{length:03d}", prefix_ids=np.zeros(length, dtype=np.int32))
    return replace(item, response_ids=(np.zeros(1, dtype=np.int32),) * 2, ranks=(0, 1), scores=(None, None))


def test_missing_data_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_step.main(["--data", str(tmp_path), "--quick"]) == 2
    message = capsys.readouterr().err
    assert "mllm_bench.jsonl" in message and "tokenizer.json" in message and "BASEREWARD_REAL_DATA" in message


def test_goals_are_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    goals = {"fast": ("at_least", 2.0), "small": ("at_most", 1.0), "absent": ("at_least", 0.0)}
    verdicts = judged({"fast": 2.5, "small": 1.5}, goals)
    assert {name: verdict["met"] for name, verdict in verdicts.items()} == {
        "fast": True, "small": False, "absent": False,
    }  # fmt: skip
    output = tmp_path / "out.json"
    code = finish("benchmarks.toy", ["--quick"], {"cpus": 2}, {"fast": 2.5, "words": "x"}, {}, str(output))
    assert code == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"figures": {"fast": 2.5}, "goals": {}}
    assert json.loads(output.read_text())["command"] == "python -m benchmarks.toy --quick"


@pytest.fixture(scope="module")
def scale() -> Scale:
    return gpu_step.check_scale()


def test_gpu_rows_train_alike(scale: Scale) -> None:
    """Packed, padded, padded with the other tower, with activations kept or recomputed: one gradient norm."""
    items = make_comparisons(scale.kind(3), 5, seed=0)
    norms = []
    for side in ("packed", "packed full", "transformers", "padded full"):
        model = new_model("tiny", vocabulary=64, device=scale.device, dtype=torch.float32)
        optimizer = MasterAdamW(list(model.parameters()))
        full = side.endswith("full")
        if side.startswith("packed"):
            model.recompute_activations("full" if full else "none")
            run: Packed | Padded = Packed(
                model=model, comparisons=items, token_budget=128, device=scale.device, optimizer=optimizer
            )
        else:
            run = Padded(
                model=model, comparisons=items, device=scale.device, recompute=full, fast_tower=full,
                optimizer=optimizer,
            )  # fmt: skip
        norms.append(run.step())
    assert norms == pytest.approx([norms[0]] * 4, rel=1e-4)


def test_masters_step_like_adamw(scale: Scale) -> None:
    """With float32 weights, float32 masters change nothing."""
    items = make_comparisons(scale.kind(2), 2, seed=0)
    model, other = (new_model("tiny", vocabulary=64, device=scale.device, dtype=torch.float32) for _ in range(2))
    run = Packed(
        model=model, comparisons=items, token_budget=256, device=scale.device,
        optimizer=MasterAdamW(list(model.parameters()), learning_rate=1e-2),
    )  # fmt: skip
    plain = Packed(model=other, comparisons=items, token_budget=256, device=scale.device)
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-2)
    other.zero_grad = lambda: None  # type: ignore[method-assign, assignment]
    run.step(), plain.step()
    torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
    optimizer.step()
    before = new_model("tiny", vocabulary=64, device=scale.device, dtype=torch.float32).state_dict()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, other.state_dict()[name], atol=1e-6, rtol=1e-5)
    assert not torch.equal(before["head.layers.0.weight"], model.state_dict()["head.layers.0.weight"])


def test_gpu_equality_and_compilations(scale: Scale) -> None:
    found = equality(scale)
    assert 0 < found["bf16_error_ratio"] < 1.5
    assert found["equality_flex_error"] < 0.1 * found["equality_spread"]
    counted = recompilations(scale)
    assert (counted["recompile_lengths"], counted["recompiles"]) == (3, 0)


def test_gpu_training_has_figures_of_every_run(scale: Scale) -> None:
    kept: list[int] = []
    session = gpu_step.Session(600, lambda figures: kept.append(len(figures)))
    found = gpu_step.measure(scale, session, ("micro", "training", "large"))
    assert len(kept) == 3 and kept == sorted(set(kept)), "each part is kept as it ends"
    assert all(
        found[f"{name}_us"] > 0 for name in ("mlp_3420", "mlp_3456", "patch_product", "norm", "rotation", "gate")
    )
    equal = [f"k2_{mode}_equal_rows" for mode in RECOMPUTE]
    runs = (
        "k2_full_sdpa",
        "k2_full_unpadded",
        "k2_selective",
        *equal,
        "k4_full",
        "k2_padded",
        "k4_padded",
        "k2_transformers",
    )
    for name in (*runs, "large_without_optimizer"):
        assert found[f"{name}_tokens_per_s"] > 0
    assert {found[f"{name}_rows"] for name in equal} == {1}
    assert found["full_over_none"] == pytest.approx(found["k2_full_equal_rows_s"] / found["k2_none_equal_rows_s"])
    assert found["ratio_k2"] == pytest.approx(found["k2_padded_s"] / found["k2_full_sdpa_s"])
    assert found["ratio_k4"] == pytest.approx(found["k4_padded_s"] / found["k4_full_s"])
    assert {"kernel", "ratio_k2_transformers"} <= found.keys()


@pytest.mark.drill
def test_compiled_runs_have_figures_too(scale: Scale, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    found = gpu_step.measure(replace(scale, compile_parts="parts"), gpu_step.Session(600), ("micro", "training"))
    assert found["norm_compiled_us"] > 0
    assert min(found["k2_full_compiled_s"], found["k2_selective_compiled_s"]) > 0


def test_ways_to_recompute_are_compared_at_equal_rows_only() -> None:
    def timed(seconds: float, rows: int) -> Timed:
        return Timed(s=seconds, rows=rows, all_s=[seconds], tokens_per_s=1.0, mfu=None, peak_gb=None)

    found = {"k2_none_equal_rows": timed(2.0, 4), "k2_selective_equal_rows": timed(3.0, 4)}
    found["k2_full_equal_rows"] = timed(1.0, 2)
    assert price_of_recomputation(found) == {"selective_over_none": 1.5}


def test_the_timed_model_is_the_product(tmp_path: Path, scale: Scale) -> None:
    """Type by type and name by name: the benchmark's, the planner's, and one that a training loads from a folder."""
    ours = new_model("tiny", vocabulary=64, device=scale.device, dtype=torch.float32)
    ours.backbone.save_pretrained(tmp_path)
    loaded = RewardModel(load_backbone(str(tmp_path), dtype=torch.float32), HeadConfig())
    expected = {name: type(module) for name, module in loaded.named_modules()}
    assert {name: type(module) for name, module in ours.named_modules()} == expected
    assert PatchProduct in expected.values()


def test_out_of_memory_is_said_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    session = gpu_step.Session(60)

    def too_large() -> dict[str, int]:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    session.part("large", too_large)
    session.part("small", lambda: {"count": 1})
    assert (session.figures["large_out_of_memory"], session.figures["count"]) == (1, 1)
    assert "large: out of memory: CUDA out of memory. Tried to allocate 2 GiB" in capsys.readouterr().out
    late = gpu_step.Session(-1)
    late.part("small", lambda: {"count": 1})
    assert late.figures["small_skipped"] == 1 and "count" not in late.figures


def test_gpu_step_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU: the benchmark would run")
    assert gpu_step.main(["--quick"]) == 2
    assert "--cpu-check" in capsys.readouterr().err


def test_a_rival_takes_whole_steps_after_its_warm_up() -> None:
    assert train_step.whole_steps([1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1]
    assert len(train_step.whole_steps(list(range(16)))) == 24


def test_figures_of_checkpoints_are_medians_and_ratios_to_ours(tmp_path: Path) -> None:
    for side, size in (("ours", 300), ("deepspeed", 400)):
        (tmp_path / side / "state").mkdir(parents=True)
        (tmp_path / side / "state" / "part").write_bytes(bytes(size))
    names = ("ours_blocked_s", "ours_complete_s", "ours_resume_s", "deepspeed_save_s", "deepspeed_resume_s")
    turns = [dict.fromkeys(names, value) | {"deepspeed_save_s": 3 * value} for value in (1.0, 2.0, 9.0)]
    other = {"ours_other_ranks_s": 0.5, "deepspeed_convert_s": 5.0}
    found = checkpoint.figures_of(turns, other, tmp_path)
    assert found["ours_blocked_s"] == 2.0 and found["ratio_blocked"] == found["ratio_complete"] == 3.0
    assert (found["ratio_resume"], found["ratio_other_ranks"], found["ratio_bytes"]) == (1.0, 10.0, 0.75)


@pytest.mark.drill
def test_both_sides_go_on_from_their_checkpoints(tmp_path: Path) -> None:
    figures = checkpoint.first_steps(tmp_path, steps=2, turns=1)
    assert min(figures.values()) > 0
    assert any((tmp_path / "ours" / "checkpoints").glob("step-*3/COMPLETE.json"))
    assert [path.name for path in (tmp_path / "trainer").iterdir()] == ["checkpoint-3"]
