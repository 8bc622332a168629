"""XXH3-64 after its published specification, in the standard library alone.

    xxh3_64(data, seed=0) -> int

For the readers of Tally's formats beside it: they shall not need the library that wrote the bytes.
"""

import struct

MASK = (1 << 64) - 1
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MX1, MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
STRIPE, BLOCK = 64, 1024  # 16 stripes walk the secret in steps of 8 bytes


def u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def u64(data, at):
    return struct.unpack_from("<Q", data, at)[0]


def swap(value, size):
    return int.from_bytes(value.to_bytes(size, "little"), "big")


def rotate(value, bits):
    return (value << bits | value >> (64 - bits)) & MASK


def fold(a, b):
    product = a * b
    return (product & MASK) ^ (product >> 64)


def avalanche(h):
    h ^= h >> 37
    h = h * MX1 & MASK
    return h ^ h >> 32


def avalanche_64(h):
    h ^= h >> 33
    h = h * P64_2 & MASK
    h ^= h >> 29
    h = h * P64_3 & MASK
    return h ^ h >> 32


def mix16(data, at, secret_at, seed):
    low = u64(data, at) ^ (u64(SECRET, secret_at) + seed & MASK)
    high = u64(data, at + 8) ^ (u64(SECRET, secret_at + 8) - seed & MASK)
    return fold(low, high)


def up_to_16(data, seed):
    size = len(data)
    if size == 0:
        return avalanche_64(seed ^ u64(SECRET, 56) ^ u64(SECRET, 64))
    if size <= 3:
        combined = data[0] << 16 | data[size >> 1] << 24 | data[-1] | size << 8
        return avalanche_64(combined ^ ((u32(SECRET, 0) ^ u32(SECRET, 4)) + seed & MASK))
    if size <= 8:
        seed ^= swap(seed & 0xFFFFFFFF, 4) << 32
        flip = (u64(SECRET, 8) ^ u64(SECRET, 16)) - seed & MASK
        h = (u32(data, size - 4) + (u32(data, 0) << 32)) ^ flip
        h ^= rotate(h, 49) ^ rotate(h, 24)
        h = h * MX2 & MASK
        h ^= (h >> 35) + size
        h = h * MX2 & MASK
        return h ^ h >> 28
    low = u64(data, 0) ^ ((u64(SECRET, 24) ^ u64(SECRET, 32)) + seed & MASK)
    high = u64(data, size - 8) ^ ((u64(SECRET, 40) ^ u64(SECRET, 48)) - seed & MASK)
    return avalanche(size + swap(low, 8) + high + fold(low, high) & MASK)


def up_to_240(data, seed):
    size = len(data)
    acc = size * P64_1
    if size <= 128:
        for i in range((size - 1) // 32 + 1):
            acc += mix16(data, 16 * i, 32 * i, seed)
            acc += mix16(data, size - 16 * (i + 1), 32 * i + 16, seed)
        return avalanche(acc & MASK)
    for i in range(8):
        acc += mix16(data, 16 * i, 16 * i, seed)
    acc = avalanche(acc & MASK)
    for i in range(8, size // 16):
        acc += mix16(data, 16 * i, 16 * (i - 8) + 3, seed)
    acc += mix16(data, size - 16, 136 - 17, seed)
    return avalanche(acc & MASK)


def accumulate(acc, data, at, secret, secret_at):
    words = struct.unpack_from("<8Q", data, at)
    keys = struct.unpack_from("<8Q", secret, secret_at)
    for i in range(8):
        key = words[i] ^ keys[i]
        acc[i ^ 1] = acc[i ^ 1] + words[i] & MASK
        acc[i] = acc[i] + (key & 0xFFFFFFFF) * (key >> 32) & MASK


def long(data, seed):
    size = len(data)
    secret = b"".join(
        struct.pack("<2Q", u64(SECRET, at) + seed & MASK, u64(SECRET, at + 8) - seed & MASK)
        for at in range(0, len(SECRET), 16))
    acc = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]
    keys = struct.unpack_from("<8Q", secret, len(secret) - STRIPE)
    for at in range(0, (size - 1) // STRIPE * STRIPE, STRIPE):
        accumulate(acc, data, at, secret, at % BLOCK // 8)
        if at % BLOCK == BLOCK - STRIPE:
            acc = [(a ^ a >> 47 ^ key) * P32_1 & MASK for a, key in zip(acc, keys)]
    accumulate(acc, data, size - STRIPE, secret, len(secret) - STRIPE - 7)
    h = size * P64_1
    for i in range(4):
        h += fold(acc[2 * i] ^ u64(secret, 11 + 16 * i), acc[2 * i + 1] ^ u64(secret, 19 + 16 * i))
    return avalanche(h & MASK)


def xxh3_64(data, seed=0):
    if len(data) <= 16:
        return up_to_16(data, seed)
    if len(data) <= 240:
        return up_to_240(data, seed)
    return long(data, seed)
