#!/usr/bin/env python3
"""xxh3.py gives what the library gives, for every length that its branches distinguish."""

import ctypes
import random
import sys

from xxh3 import xxh3_64


def main():
    try:
        library = ctypes.CDLL("libxxhash.so.0")
    except OSError as error:
        print(f"SKIPPED: {error}")
        return 77
    theirs = library.XXH3_64bits_withSeed
    theirs.restype = ctypes.c_uint64
    theirs.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    source = random.Random(1)
    lengths = [*range(2001), 2048, 4095, 4096, 4097, 65536, 100_003, 1 << 20]
    wrong = 0
    for size in lengths:
        data = source.randbytes(size)
        for seed in (0, source.getrandbits(64)):
            if xxh3_64(data, seed) != theirs(data, size, seed):
                wrong += 1
                print(f"length {size}, seed {seed:#x}: differs")
    print(f"{len(lengths)} lengths, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
