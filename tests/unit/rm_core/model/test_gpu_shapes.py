"""What a GPU's matrix units are given: widths that they like, by layers that keep names, shapes and results."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from toys import row_for, toy_comparison, toy_image, toy_reward_model

from rm_core.batches.packed import PackedBatch
from rm_core.model import padded_linear
from rm_core.model.backbone import new_backbone
from rm_core.model.config import HeadConfig, LoraConfig
from rm_core.model.lora import add_adapters
from rm_core.model.reward_model import RewardModel
from rm_core.model.shape_config import backbone_config
from rm_core.model.shapes import SHAPES

META = torch.device("meta")
IDS = {"<|endoftext|>": 0, "<|image_pad|>": 1, "<|video_pad|>": 0, "<|vision_start|>": 2, "<|vision_end|>": 3}
IDS |= {"<IMG_CONTEXT>": 1}
PUBLISHED = [name for name, shape in SHAPES.items() if shape.vocab is not None]
_PRODUCTS = {"mm", "addmm", "bmm", "baddbmm"}


def row(model: RewardModel) -> PackedBatch:
    images = (toy_image(1),) if model.family.has_vision else ()
    items = [toy_comparison(seed, images=images, ranks=(0, 1, 2)) for seed in range(2)]
    return row_for(model, items)


@pytest.fixture
def padded_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toys' width of 48 is computed as 128."""
    monkeypatch.setitem(padded_linear.MULTIPLES, "cpu", 128)


def trained(model: RewardModel, recompute: str = "none") -> dict[str, Tensor]:
    """Rewards, and the gradient of every weight that trains."""
    model.train().recompute_activations(recompute)
    rewards = model(row(model))
    rewards.square().sum().backward()
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    return found | {"rewards": rewards.detach()}


class Products(TorchDispatchMode):
    """Widths of the operands of every 16-bit matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.widths: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in _PRODUCTS:
            operands = [value for value in args if isinstance(value, Tensor) and value.dtype == torch.bfloat16]
            self.widths |= {width for operand in operands for width in operand.shape[-2:]}
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("name", PUBLISHED)
def test_products_of_published_shapes_are_aligned(name: str) -> None:
    """Forwards and backwards, in one layer and one block; how many tokens and patches a row has is left out."""
    config = backbone_config(name, vocab_size=64, special_ids=IDS)
    text = getattr(config, "text_config", config)
    middle = [0] if name.startswith("qwen3-vl") else []
    text.num_hidden_layers, text.layer_types = 1 + len(middle), ["full_attention"] * (1 + len(middle))
    if text is not config and config.model_type == "internvl":
        config.vision_config.num_hidden_layers = 1
    elif text is not config:
        config.vision_config.depth, config.vision_config.deepstack_visual_indexes = 1, middle
    with META:
        model = RewardModel(new_backbone(config, seed=0, dtype=torch.bfloat16, device=META), HeadConfig())
    images = (toy_image(1, 84, 84),) if model.family.has_vision else ()
    batch = row_for(model, [toy_comparison(0, images=images, ranks=(0,))])
    counts = {len(batch.input_ids), len(batch.pixel_values), len(batch.image_token_index), 1}
    counts.add(len(batch.pixel_values) + len(batch.image_grid))  # with one token more a tile
    with Products() as products:
        model(batch.to(META)).sum().backward()
    assert len(products.widths) > 4
    assert not [width for width in products.widths - counts if width % 8]


@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("adapters", [False, True])
def test_padding_changes_no_number(
    adapters: bool, recompute: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    model = toy_reward_model()
    if adapters:
        add_adapters(model, {"vision", "merger"}, LoraConfig(rank=4), seed=3)
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(len(name)))
    plain, names = trained(model, recompute), {name: value.shape for name, value in model.state_dict().items()}
    request.getfixturevalue("padded_on_cpu")
    widths: set[int] = set()
    model.backbone.visual.blocks[0].mlp.act_fn.register_forward_hook(
        lambda _module, _inputs, output: widths.add(output.shape[-1])
    )
    padded = trained(model, recompute)
    assert widths == {128}
    torch.testing.assert_close(padded, plain, rtol=1e-5, atol=1e-6)
    assert {name: value.shape for name, value in model.state_dict().items()} == names


@pytest.mark.usefixtures("padded_on_cpu")
def test_no_padded_weight_is_kept_for_the_backward_pass() -> None:
    """Under ZeRO-3 it would be every block's whole MLP."""
    mlp = toy_reward_model().backbone.visual.blocks[0].mlp
    kept: list[torch.Size] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda value: kept.append(value.shape) or value, lambda value: value):
        mlp(torch.zeros(5, 32, requires_grad=True))
    assert {shape for shape in kept if 5 not in shape} == {(48, 32), (32, 48)}


def test_on_a_cpu_nothing_is_padded() -> None:
    model = toy_reward_model()
    assert padded_linear.padded_width(3420, torch.device("cpu")) == 3420
    assert padded_linear.padded_width(3420, torch.device("cuda")) == 3456
    assert model.backbone.visual.blocks[0].mlp.gate_proj(torch.zeros(1, 32)).shape == (1, 48)
