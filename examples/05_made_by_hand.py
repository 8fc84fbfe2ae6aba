"""A transformer whose every weight is written by a person, and why it works: it continues "aabaabaab...".

Run it with `python examples/05_made_by_hand.py`. The idea is Theia Vogel's ("I made a transformer by hand", 2023).
"""

from itertools import product

import numpy as np

import byhand
from byhand.families import handmade

# 1 · The plan. Two letters are enough to know the next one: after "aa" comes "b", after anything else comes "a".
#     So a position must look at itself and at the one before, and tell "both are a" from everything else.
STREAM = ["at 0", "at 1", "at 2", "at 3", "at 4", "is a", "is b", "free"]  # what the eight dimensions stand for
L = 1024.0  # "very much": a score that is L / sqrt(8) larger than another takes all of the attention

# 2 · The tables: one dimension for every position, one for every letter. Whatever is added up can be told apart again.
position_PD = np.eye(5, 8)
token_VD = np.array([[0, 0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1, 0]], float)

# 3 · Queries, keys, values. A key says where it is. A query asks for its own place and the one before. A value is +1
#     for "a" and -1 for "b", written where nothing else is: then the average of two values is 1 only for "aa".
query_DD, key_DD, value_DD = np.zeros((3, 8, 8))
for place in range(5):
    key_DD[place, place] = 1
    query_DD[place, [max(place - 1, 0), place]] = L
value_DD[5, 7], value_DD[6, 7] = 1, -1

# 4 · The way out. Say "a" with strength L; if the average is 1, take exactly that back and say "b" instead.
out_DD, out_D = np.zeros((8, 8)), np.zeros(8)
out_D[5] = L
out_DD[7, 5], out_DD[7, 6] = -L, L


def show(title: str, matrix: np.ndarray, rows: list[str]) -> None:
    """A matrix with labelled rows and columns. Zeros are dots and empty rows are left out: most of it is nothing."""
    print(f"\n{title:<8}" + "".join(f"{name:>6}" for name in STREAM))
    for name, row in zip(rows, matrix, strict=True):
        if row.any():
            print(f"{name:>8}" + "".join(f"{'.' if v == 0 else f'{v:.0f}':>6}" for v in row))


for title, matrix in (("query", query_DD), ("key", key_DD), ("value", value_DD), ("out", out_DD)):
    show(title, matrix, STREAM)
show("bias", out_D[None], [""])

# 5 · byhand ships exactly these matrices as `aab`; side by side, q k v are the c_attn of a GPT-2.
aab = byhand.load("aab")
mine = {"q.weight": query_DD, "k.weight": key_DD, "v.weight": value_DD, "out.weight": out_DD, "out.bias": out_D}
for name, matrix in mine.items():
    assert np.array_equal(aab.weights[f"blocks.0.attn.{name}"].reshape(matrix.shape), matrix)
assert np.array_equal(handmade.c_attn(), np.hstack([query_DD, key_DD, value_DD]))
assert np.array_equal(aab.weights["token.weight"], token_VD)
assert np.array_equal(aab.weights["position.weight"], position_PD)

# 6 · Where it looks: at itself and at its predecessor, half and half. The first position has only itself.
run = aab.run("aabaa", dtype="float64")
weight_TS = run["blocks.0.attn.weights"].at(batch=0, head=0)
print("\nattention in 'aabaa': who looks (down) at whom (across)")
for letter, row in zip("aabaa", weight_TS.array, strict=True):
    print(f"{letter:>8}" + "".join(f"{v:6.2g}" if v > 1e-9 else "     ." for v in row))
expected_TS = np.eye(5) / 2 + np.eye(5, k=-1) / 2
expected_TS[0, 0] = 1
assert np.allclose(weight_TS, expected_TS, rtol=0, atol=1e-150)

# 7 · What it says at every position.
print("\nposition  token  says   P(a)  P(b)  logit a  logit b")
for t, letter in enumerate("aabaa"):
    (a, b), (p_a, p_b) = run["logits"][0, t].array, run["probs"][0, t].array
    print(f"{t:>8}  {letter:>5}  {'ab'[int(b > a)]:>4}  {p_a:5.2f} {p_b:5.2f}  {a:7.0f}  {b:7.0f}")

# 8 · Let it write. It reads at most five letters, so of a longer text it sees the end.
print()
for start, end in {"a": "baabaabaab", "ba": "abaabaabaa", "abaab": "aabaabaaba"}.items():
    text = "".join(aab.generate(start, max_tokens=10))
    print(f"{start:>8} -> {text}")
    assert text == end


def next_letter(model: byhand.Model, text: str) -> str:
    return "".join(model.generate(text, max_tokens=1))


# 9 · An exam: given the true text up to any place from the third letter on, which letter comes next?
exam = "aab" * 10
right = sum(next_letter(aab, exam[:i]) == exam[i] for i in range(3, len(exam)))
print(f"\n{right} of {len(exam) - 3} right over {exam!r}")
assert right == 27

# 10 · Wrong input does not confuse it for long: whatever was read, what it writes is the pattern again.
strings = ["".join(letters) for n in range(1, 6) for letters in product("ab", repeat=n)]
for wrong in strings:
    assert "".join(aab.generate(wrong, max_tokens=12)) in "aab" * 6
print(f"after 'bbbb' it writes {''.join(aab.generate('bbbb', max_tokens=9))!r}")

# 11 · A real GPT-2 has layer norms and a feed-forward too. They need not spoil anything: every vector here is two ones
#      among eight numbers (mean 1/4, variance 3/16), so a norm with the right gain and shift gives back what it got.
twin = byhand.load("aab-gpt2")
normed_BTD = twin.run("abaab", dtype="float64")["blocks.0.norm1.out"]
assert np.allclose(normed_BTD, twin.run("abaab", dtype="float64")["embed.out"], rtol=0, atol=1e-12)
gaps = []
for text in strings:
    logits_V, twin_V = (model.run(text, dtype="float64")["logits"].array[0, -1] for model in (aab, twin))
    assert logits_V.argmax() == twin_V.argmax()
    gaps.append(abs(twin_V[1] - twin_V[0]))
print(f"inside a stock GPT-2: {len(strings)} of {len(strings)} strings agree, smallest logit gap {min(gaps):.2f}")
assert len(strings) == 62 and round(min(gaps), 2) == 96.69
