"""A byte-pair tokenizer over the captions' words, in the format of CLIP's own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from tokenizers import models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

START: Final = "<|startoftext|>"
END: Final = "<|endoftext|>"
WORD_END: Final = "</w>"


def train_tokenizer(captions: Iterable[str], *, vocabulary: int, context: int) -> CLIPTokenizer:
    """Returns a tokenizer of at most `vocabulary` tokens that can spell any text.

    As in CLIP the vocabulary is: 256 bytes, the same 256 at a word's end, merges, two marks. Without all 512 an unseen
    letter would become the unknown token, which is the end mark, and the rest of the text would be lost.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = CLIPTokenizer().backend_tokenizer  # for its normaliser and its way of splitting words
    learner.model = models.BPE(end_of_word_suffix=WORD_END)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(alphabet),
        initial_alphabet=alphabet,
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    learner.train_from_iterator(captions, trainer)
    merges = _merges(learner.to_str())
    tokens = [*alphabet, *(letter + WORD_END for letter in alphabet), *("".join(pair) for pair in merges), START, END]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=context)  # type: ignore[arg-type]  # pairs are what it takes


def _merges(tokenizer_json: str) -> list[tuple[str, str]]:
    first_second: list[list[str]] = json.loads(tokenizer_json)["model"]["merges"]
    return [(first, second) for first, second in first_second]
