"""The numbers of the GGUF format that its header is checked against: value types, tensor types, and sane limits.

The limits are far above what published models use and far below what hurts: they bound the time and the memory that
a header can cost before anything else looks at it.
"""

from __future__ import annotations

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32

MAX_KEYS = 4096
MAX_TENSORS = 1 << 15
MAX_HEADER_BYTES = 256 << 20
MAX_KEY_BYTES = 512
MAX_STRING_BYTES = 32 << 20  # a whole tokenizer.json is kept as one string by some
MAX_ELEMENT_BYTES = 1 << 20
MAX_TEMPLATE_BYTES = 1 << 20
MAX_ARRAY = 1 << 24
MAX_STRINGS = 1 << 21  # in all arrays together: every one costs a step of the parser
MAX_VOCABULARY = 1 << 20
MAX_TENSOR_NAME = 63  # llama.cpp keeps 64 bytes with the closing zero
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 20
KEPT_STRING = 1024
KEPT_ARRAY = 1024

BOOL, STRING, ARRAY = 7, 8, 9
UINT8, INT8, UINT32, INT32, FLOAT32 = 0, 1, 4, 5, 6

# Value type -> struct format; strings and arrays have none.
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B", 10: "<Q", 11: "<q", 12: "<d"}
INTEGERS = frozenset({0, 1, 2, 3, 4, 5, 10, 11})

# Tensor type -> (elements in a block, bytes of a block), as in ggml-common.h; types that ggml has removed are missing.
TENSOR_BLOCKS = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 36),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
    40: (64, 36),  # NVFP4
    41: (128, 18),  # Q1_0
    42: (64, 18),  # Q2_0
}
