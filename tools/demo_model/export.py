# SPDX-License-Identifier: Apache-2.0
"""Writes what was trained in PyTorch in the formats of the real thing.

write_tower  the tower in Apple's inference form and under Apple's names, F16
export       the base as a checkpoint in LLaVA's layout: model.safetensors (language model and projector F32, tower F16),
             config.json, generation_config.json, tokenizer.json, tokenizer_config.json
"""
import json

import numpy as np
import torch

import tensors
from inference_tower import TOWER_PREFIX
from model import BLOCKS, FEATURES, LM, MLP_RATIO, WIDTHS, Tower, fold_tower
from train_lm import VOCAB, tokenizer_of


def write_tower(work):
    """WORK/vision_tower.safetensors from the running average of WORK/scenes256.pt."""
    tower = Tower()
    average = torch.load(work / "scenes256.pt")["average"]
    tower.load_state_dict({name[len("tower."):]: value for name, value in average.items() if name.startswith("tower.")})
    arrays = {TOWER_PREFIX + k: v.contiguous().numpy().astype(np.float16) for k, v in fold_tower(tower).items()}
    tensors.save(work / "vision_tower.safetensors", arrays, {"format": "pt"})


def config(tokenizer):
    return {
        "architectures": ["LlavaQwen2ForCausalLM"], "model_type": "llava_qwen2", **LM, "hidden_act": "silu",
        "vocab_size": VOCAB, "max_position_embeddings": 2048, "tie_word_embeddings": True, "torch_dtype": "float32",
        "bos_token_id": tokenizer.added["<|endoftext|>"], "eos_token_id": tokenizer.added["<|im_end|>"],
        "image_token_index": VOCAB - 1, "tokenizer_model_max_length": 2048,
        "mm_vision_tower": "mobileclip_s0_256", "mm_hidden_size": FEATURES, "mm_projector_type": "mlp2x_gelu",
        "image_aspect_ratio": "pad", "mm_use_im_start_end": False, "mm_use_im_patch_token": False,
        "mm_patch_merge_type": "flat",
        "vision_cfg": {"family": "mci0", "layers": list(BLOCKS), "embed_dims": list(WIDTHS), "mlp_ratios": [MLP_RATIO] * 4,
                       "se_downsamples": [False, False, True, True], "cls_ratio": 2.0, "stem_scale_branch": False,
                       "norm": "BatchNorm2d", "image_size": 256, "stride": 32},
    }


def tokenizer_config(tokenizer):
    added = {str(i): {"content": c, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
             for c, i in (*tokenizer.added.items(), ("<image>", VOCAB - 1))}
    template = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
                "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
                "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
                "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
    return {"add_prefix_space": False, "added_tokens_decoder": added, "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
            "bos_token": None, "chat_template": template, "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>",
            "errors": "replace", "model_max_length": 2048, "pad_token": "<|endoftext|>", "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer", "unk_token": None}


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def export(work, out):
    """Exports the base: the state of phase `base` with WORK/vision_tower.safetensors."""
    out.mkdir(parents=True, exist_ok=True)
    state = torch.load(work / "base.pt")
    arrays = {"model." + name: value.numpy() for name, value in state["lm"].items()}
    arrays.update({"model.mm_projector." + name.replace("linear_", ""): value.numpy() for name, value in state["projector"].items()})
    arrays.update(tensors.load(work / "vision_tower.safetensors"))
    tensors.save(out / "model.safetensors", arrays, {"format": "pt"})
    tokenizer = tokenizer_of(work)
    write_json(out / "config.json", config(tokenizer))
    write_json(out / "generation_config.json", {"do_sample": False, "bos_token_id": tokenizer.added["<|endoftext|>"],
                                                "eos_token_id": tokenizer.added["<|im_end|>"], "max_new_tokens": 256})
    write_json(out / "tokenizer.json", tokenizer.to_json())
    write_json(out / "tokenizer_config.json", tokenizer_config(tokenizer))
