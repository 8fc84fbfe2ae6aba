"""All the text one can think of, for hypothesis."""

from hypothesis import strategies as st

SPECIAL = ["<|endoftext|>", "<|begin_of_text|>", "<s>", "</s>", "[MASK]", "[CLS]", "<|end", "<0x0A>", "▁", "Ġ", "##"]
ODD = [
    "'s",
    "'LL",
    "’re",
    "ſ",
    "K",
    "é",
    "\u0301",
    "\u200d",
    "\ufe0f",
    "🏽",
    "👩‍👩‍👧‍👦",
    "🇩🇪",
    "\x00",
    "\x1c",
    "\x85",
    "\u2028",
    "\xa0",
]
ODD += [
    "\u3000",
    "\ufeff",
    "\ufffd",
    "\uffff",
    "\U0010ffff",
    "\U00031350",
    "\u0558",
    "İ",
    "ß",
    "Σ",
    "中",
    "한",
    "᠎",
    "𝟙",
    "²",
    "½",
]
RUNS = st.builds(lambda sign, n: sign * n, st.sampled_from(" \n\t\r19a▁-🙂'\xa0"), st.integers(1, 60))
WORDS = st.sampled_from(
    ["the", " The", "lower", "newest", " don't", "ab", "aba", "aaa", "русский", " 日本", "\r\n", " 12345"]
)
PART = RUNS | WORDS | st.sampled_from(SPECIAL + ODD) | st.text(max_size=6) | st.characters(exclude_categories=["Cs"])

TEXTS = st.lists(PART, max_size=8).map("".join)
BYTES = st.binary(max_size=40) | st.lists(st.binary(max_size=4) | PART.map(str.encode), max_size=8).map(b"".join)
