"""A target under libFuzzer, with its seeds and words; the last argument of the command is the folder of the corpus."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import atheris


def run(one: Callable[[bytes], None], seeds: Sequence[bytes], words: Sequence[str], **how: Any) -> None:
    """Never returns: libFuzzer ends the process. The dictionary lies in memory, and is gone however that ends."""
    corpus = Path(sys.argv[-1])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    dictionary = Path(f"/proc/self/fd/{os.memfd_create('dictionary')}")
    dictionary.write_text("\n".join(f'"{word}"' for word in words) + "\n")
    options = [f"-dict={dictionary}", "-max_len=8192", "-timeout=10", "-rss_limit_mb=1024"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], one, **how)
    atheris.Fuzz()
