#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes warpers.json and beams.json with Hugging Face's own classes.

usage: make_goldens.py FOLDER_OF_TRANSFORMERS   (its src/transformers; needs torch and numpy)

Only generation/{beam_search,beam_constraints,logits_process}.py are loaded; the decoder under them is the
small one below, which must first reproduce ../stories/greedy_reference.json.
"""
import importlib.util
import json
import pathlib
import struct
import sys
import types

import numpy
import torch

HERE = pathlib.Path(__file__).resolve().parent
STORIES = HERE.parent / "stories"


def load_generation(folder):
    """The three modules, with stand-ins for what they import of the rest of the package."""
    utils = types.ModuleType("transformers.utils")
    utils.add_start_docstrings = lambda *_: lambda thing: thing
    logging = types.ModuleType("transformers.utils.logging")
    logging.get_logger = lambda _: None
    for name, module in {"transformers": types.ModuleType("transformers"), "transformers.utils": utils,
                         "transformers.utils.logging": logging,
                         "transformers.generation": types.ModuleType("transformers.generation")}.items():
        module.__path__ = []
        sys.modules[name] = module
    loaded = []
    for name in ("beam_constraints", "beam_search", "logits_process"):
        spec = importlib.util.spec_from_file_location(f"transformers.generation.{name}",
                                                      folder / "generation" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        loaded.append(module)
    return loaded[1], loaded[2]


class Decoder:
    """Qwen2 over whole sequences, without a cache."""

    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        raw = (folder / "model.safetensors").read_bytes()
        size, = struct.unpack("<Q", raw[:8])
        self.tensors = {}
        for name, entry in json.loads(raw[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = (8 + size + offset for offset in entry["data_offsets"])
                array = numpy.frombuffer(raw[begin:end], dtype="<f4").reshape(entry["shape"])
                self.tensors[name] = torch.tensor(array)

    def norm(self, x, name):
        mean = (x * x).mean(-1, keepdim=True)
        return x * torch.rsqrt(mean + self.config["rms_norm_eps"]) * self.tensors[name]

    def linear(self, x, name):
        return torch.nn.functional.linear(x, self.tensors[name + ".weight"], self.tensors.get(name + ".bias"))

    def rotate(self, x):
        size = x.shape[-1]
        rates = self.config["rope_theta"] ** (-torch.arange(0, size, 2) / size)
        angles = torch.arange(x.shape[-2])[:, None] * rates[None]
        cos, sin = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()
        turned = torch.cat([-x[..., size // 2:], x[..., :size // 2]], -1)
        return x * cos + turned * sin

    def logits(self, ids):
        """Of the token after each row of ids [rows, length]."""
        c, (rows, length) = self.config, ids.shape
        heads, groups = c["num_attention_heads"], c["num_key_value_heads"]
        x = self.tensors["model.embed_tokens.weight"][ids]
        mask = torch.full((length, length), float("-inf")).triu(1)
        for i in range(c["num_hidden_layers"]):
            at = f"model.layers.{i}."
            normed = self.norm(x, at + "input_layernorm.weight")
            q, k, v = (self.linear(normed, at + f"self_attn.{n}_proj").view(rows, length, count, -1).transpose(1, 2)
                       for n, count in (("q", heads), ("k", groups), ("v", groups)))
            q, k = self.rotate(q), self.rotate(k)
            k, v = (t.repeat_interleave(heads // groups, 1) for t in (k, v))
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask
            x = x + self.linear((scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, -1),
                                at + "self_attn.o_proj")
            normed = self.norm(x, at + "post_attention_layernorm.weight")
            gate = torch.nn.functional.silu(self.linear(normed, at + "mlp.gate_proj"))
            x = x + self.linear(gate * self.linear(normed, at + "mlp.up_proj"), at + "mlp.down_proj")
        return self.norm(x[:, -1], "model.norm.weight") @ self.tensors["model.embed_tokens.weight"].T


def check_greedy(decoder):
    want = json.loads((STORIES / "greedy_reference.json").read_text())["greedy_from_bos_ids"]
    ids = torch.tensor([want[:1]])
    while ids.shape[1] < len(want):
        ids = torch.cat([ids, decoder.logits(ids).argmax(-1)[None]], -1)
    assert ids[0].tolist() == want


def beam_case(decoder, search, process, prompt, beams, max_tokens, stop_ids, penalty, penalize_prompt):
    scorer = search.BeamSearchScorer(batch_size=1, num_beams=beams, device=torch.device("cpu"))
    processors = process.LogitsProcessorList()
    if penalty != 1:
        processors.append(process.RepetitionPenaltyLogitsProcessor(penalty))
    stops = torch.tensor(stop_ids) if stop_ids else None
    before = torch.tensor([prompt] * beams)
    known = before if penalize_prompt else before[:, :0]
    start = known.shape[1]
    scores = torch.zeros(beams)
    scores[1:] = -1e9
    margin = float("inf")
    while True:
        logits = decoder.logits(torch.cat([before[:, : before.shape[1] - start], known], -1))
        next_scores = processors(known, torch.log_softmax(logits, -1)) + scores[:, None]
        vocab = next_scores.shape[-1]
        count = max(2, 1 + len(stop_ids)) * beams
        ranked, tokens = next_scores.view(1, -1).topk(count + 1)
        live = ranked[0][ranked[0] > -1e8]
        if len(live) > 1:
            margin = min(margin, (live[:-1] - live[1:]).min().item())
        ranked, tokens = ranked[:, :count], tokens[:, :count]
        out = scorer.process(known, ranked, tokens % vocab, tokens // vocab, pad_token_id=0, eos_token_id=stops,
                             decoder_prompt_len=start)
        scores = out["next_beam_scores"]
        known = torch.cat([known[out["next_beam_indices"]], out["next_beam_tokens"][:, None]], -1)
        if scorer.is_done or known.shape[1] - start >= max_tokens:
            break
    final = scorer.finalize(known, scores, None, None, max_length=start + max_tokens, pad_token_id=0,
                            eos_token_id=stops, decoder_prompt_len=start)
    ids = final["sequences"][0, start:].tolist()
    stopped = bool(stop_ids) and ids[-1] in stop_ids
    return {"prompt": prompt, "beams": beams, "max_tokens": max_tokens, "stop_ids": stop_ids,
            "repetition_penalty": penalty, "penalize_prompt": penalize_prompt, "smallest_margin": margin,
            "ids": ids[:-1] if stopped else ids, "stopped": stopped,
            "score": final["sequence_scores"][0].item()}


def beam_cases(decoder, search, process):
    story = json.loads((STORIES / "greedy_reference.json").read_text())["greedy_from_bos_ids"]
    cases = []
    for prompt in (story[:1], story[:5], story[:24], [1, 338, 401, 396]):
        for beams in (2, 3, 5, 8):
            for stop_ids in ([], [426], [426, 13, 432]):
                for penalty, penalize_prompt in ((1.0, False), (1.4, False), (1.4, True)):
                    for max_tokens in (1, 6, 20):
                        cases.append(beam_case(decoder, search, process, prompt, beams, max_tokens, stop_ids,
                                               penalty, penalize_prompt))
    # Where two continuations are nearly equal, rounding decides; such a case proves nothing.
    return [case for case in cases if case["smallest_margin"] > 1e-4]


def warper_cases(process):
    generator = numpy.random.default_rng(7)
    rows = {"random": (generator.standard_normal(40) * 3).astype("f4"),
            "ties": numpy.round(generator.standard_normal(24) * 2).astype("f4"),
            "forbidden": numpy.where(generator.random(16) < 0.4, -numpy.inf, generator.standard_normal(16)).astype("f4")}
    cases = []
    for name, row in rows.items():
        for temperature in (1.0, 0.2, 1.7):
            for top_k in (0, 1, 5, 50):
                for top_p in (1.0, 0.9, 0.35, 0.0):
                    for keep in (1, 2):
                        if name != "random" and top_p < 1:
                            continue  # torch leaves open which of equal scores top-p drops
                        warpers = process.LogitsProcessorList([process.TemperatureLogitsWarper(temperature)])
                        if top_k:
                            warpers.append(process.TopKLogitsWarper(top_k, min_tokens_to_keep=keep))
                        if top_p < 1:
                            warpers.append(process.TopPLogitsWarper(top_p, min_tokens_to_keep=keep))
                        warped = warpers(torch.zeros((1, 0), dtype=torch.long), torch.tensor(row)[None])[0]
                        kept = torch.isfinite(warped).nonzero()[:, 0]
                        cases.append({"row": name, "temperature": temperature, "top_k": top_k, "top_p": top_p,
                                      "keep": keep, "ids": kept.tolist(), "scores": warped[kept].tolist()})
    seen = [3, 9, 9, 21, 39]
    penalized = [{"penalty": p, "seen": seen,
                  "scores": process.RepetitionPenaltyLogitsProcessor(p)(
                      torch.tensor([seen]), torch.tensor(rows["random"])[None].clone())[0].tolist()}
                 for p in (1.0, 1.3, 0.7)]
    finite = {name: [float(v) if numpy.isfinite(v) else None for v in row] for name, row in rows.items()}
    return {"rows": finite, "warped": cases, "penalized": penalized}


def main():
    search, process = load_generation(pathlib.Path(sys.argv[1]))
    torch.set_grad_enabled(False)
    decoder = Decoder(STORIES)
    check_greedy(decoder)
    for name, data in (("beams", beam_cases(decoder, search, process)), ("warpers", warper_cases(process))):
        (HERE / f"{name}.json").write_text(json.dumps(data, separators=(",", ":")) + "\n")


main()
