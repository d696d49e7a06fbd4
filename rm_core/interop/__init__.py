"""A reward model out to other programs.

`export_model` a model folder of ours -> a folder that Transformers and vLLM score with; `card` is its README
`classes`      the classes of Transformers that score it; importing them registers them with `AutoModel...`
`vllm_plugin`  the same for vLLM, which finds it by an entry point; `vllm_classes` are its models

The way in is `rm_core.model_folder.import_model`, which reads these exports too.
"""
