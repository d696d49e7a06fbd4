"""Rewards of exported models by vLLM; run by a Python that has vLLM: `vllm_classify.py CASES.json` prints them as JSON.

CASES.json: a list of {"folder": ..., "prompts": [{"text": ..., "image": path or null}]}.
"""

import json
import sys


def main() -> None:
    from PIL import Image
    from vllm import LLM
    from vllm.distributed import cleanup_dist_env_and_memory

    found = []
    with open(sys.argv[1], encoding="utf8") as file:
        cases = json.load(file)
    for case in cases:
        sees = any(prompt["image"] for prompt in case["prompts"])
        more = {"limit_mm_per_prompt": {"image": 1, "video": 0}} if sees else {}
        model = LLM(case["folder"], runner="pooling", dtype="float32", enforce_eager=True, max_model_len=512, **more)
        prompts = [
            {"prompt": one["text"]}
            | ({"multi_modal_data": {"image": Image.open(one["image"])}} if one["image"] else {})
            for one in case["prompts"]
        ]
        outputs = model.classify(prompts)
        found.append([[list(one.prompt_token_ids), one.outputs.probs[0]] for one in outputs])
        del model
        cleanup_dist_env_and_memory()
    print("REWARDS " + json.dumps(found))


if __name__ == "__main__":
    main()
