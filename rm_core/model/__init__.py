"""The reward model: backbone + head -> one float32 reward a response of a packed row.

`config`                 what a recipe may say: head, adapters, a random-weight model
`shapes`, `shape_config` the sizes by name -> Transformers' config of a backbone
`families`               what a backbone has to provide; Qwen2-VL, Qwen2.5-VL, Qwen3-VL, InternVL,
                         Qwen2, Qwen3
`backbone`               loads a folder's weights, with `attention` in place: Comparisons of a row, and responses of
                         one Comparison, do not see each other
`vision_tower`, `decoder` run the two halves of a backbone over one packed row; `tile_tower` the first of InternVL's
`rotary`, `norms`        positions and norms in few operations; `swapped` puts them into Transformers' modules
`padded_linear`          layers of the tower whose width no GPU likes, filled up with zeros while they compute
`head`                   the tokens that it reads, one vector a response -> rewards [R]
`language_head`          how likely the tokens are that a model shall write itself, without logits of a whole row
`language_loss`          what computes it: PyTorch in chunks, or Liger's kernel on a GPU
`verdicts`               of a judge, which two tokens are likely -> rewards, with no other head
`reward_model`           puts them together
`lora`                   low-rank adapters in the place of full training
`tower_sizes`            the numbers of a vision tower, whatever its config calls them
`flops`                  what a Comparison costs, for plans and for the share of a GPU's peak
"""
