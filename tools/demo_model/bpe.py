# SPDX-License-Identifier: Apache-2.0
"""Byte-level BPE in the Qwen2 format: training, encoding, tokenizer.json.

Python's `re` has no \\p{L}; [^\\W\\d_] and \\d stand in for letters and digits, which is the same on the
text of this toy world.
"""
import collections
import json
import re

ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SPLIT_FILE = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
              r"\s*[\r\n]+|\s+(?!\S)|\s+")
SPLIT = re.compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|(?:[^\r\n\w]|_)?[^\W\d_]+|\d| ?(?:[^\s\w]|_)+[\r\n]*|"
                   r"\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_alphabet():
    """GPT-2's map from byte to printable character."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for b in range(256):
        if b in keep:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + extra)
            extra += 1
    return table


BYTES = byte_alphabet()


def train(texts, size):
    """Texts -> merges [(left, right)] so that 256 byte symbols and the merges make `size` entries."""
    words = collections.Counter(w for text in texts for w in SPLIT.findall(text))
    words = [([BYTES[b] for b in w.encode()], n) for w, n in sorted(words.items())]
    merges = []
    while len(merges) < size - 256:
        pairs = collections.Counter()
        for symbols, n in words:
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += n
        if not pairs:
            break
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        for symbols, _ in words:
            i = 0
            while i < len(symbols) - 1:
                if (symbols[i], symbols[i + 1]) == best:
                    symbols[i:i + 2] = ["".join(best)]
                i += 1
    return merges


class Tokenizer:
    """Encodes text without added tokens, and prompts with them."""

    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        entries = [BYTES[b] for b in sorted(BYTES, key=lambda b: BYTES[b])] + ["".join(m) for m in self.merges]
        self.vocab = {entry: i for i, entry in enumerate(dict.fromkeys(entries))}
        self.added = {name: len(self.vocab) + i for i, name in enumerate(ADDED)}
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.names = {i: s for s, i in self.vocab.items()}
        self.cache = {}

    def word(self, word):
        """Ids of one pre-token."""
        if word not in self.cache:
            symbols = [BYTES[b] for b in word.encode()]
            while len(symbols) > 1:
                pair = min(zip(symbols, symbols[1:]), key=lambda p: self.rank.get(p, 1 << 30))
                if pair not in self.rank:
                    break
                i = 0
                while i < len(symbols) - 1:
                    if (symbols[i], symbols[i + 1]) == pair:
                        symbols[i:i + 2] = ["".join(pair)]
                    i += 1
            self.cache[word] = [self.vocab[s] for s in symbols]
        return self.cache[word]

    def encode(self, text):
        """Text, possibly with added tokens in it -> ids."""
        ids = []
        for piece in re.split("(" + "|".join(re.escape(a) for a in ADDED) + ")", text):
            if piece in self.added:
                ids.append(self.added[piece])
            else:
                ids += [i for w in SPLIT.findall(piece) for i in self.word(w)]
        return ids

    def encode_marked(self, text, begin, end):
        """Text with begin/end marks around facts -> (ids of the unmarked text, list of 0/1 per id)."""
        clean, marks, inside = [], [], 0
        for ch in text:
            if ch == begin:
                inside = 1
            elif ch == end:
                inside = 0
            else:
                clean.append(ch)
                marks.append(inside)
        ids, flags = [], []
        for match in SPLIT.finditer("".join(clean)):
            mine = self.word(match.group())
            ids += mine
            flags += [max(marks[match.start():match.end()])] * len(mine)
        return ids, flags

    def decode(self, ids):
        """Ids -> text; added tokens are left out."""
        back = {c: b for b, c in BYTES.items()}
        return bytes(back[c] for i in ids if i in self.names for c in self.names[i]).decode("utf-8", "replace")

    def to_json(self):
        """The object written to tokenizer.json."""
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        return {"version": "1.0", "truncation": None, "padding": None,
                "added_tokens": [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False,
                                  "normalized": False, "special": True} for c, i in self.added.items()],
                "normalizer": {"type": "NFC"},
                "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": SPLIT_FILE}, "behavior": "Isolated", "invert": False}, level]},
                "post_processor": dict(level), "decoder": dict(level),
                "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                          "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False,
                          "vocab": self.vocab, "merges": [" ".join(m) for m in self.merges]}}


def load(path):
    """Tokenizer from a tokenizer.json of this form."""
    model = json.loads(path.read_text())["model"]
    return Tokenizer([m.split(" ") for m in model["merges"]])
