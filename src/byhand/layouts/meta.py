"""Meta's names of a Llama's weights, all matrices output first, queries and keys with each rotary pair side by side.

Source: model.py in Meta's llama and llama3. A model on several machines is cut into shards; CUT says along which axis.
"""

from byhand.layouts.layout import Layout, stored

AT, ATTN, MLP = "blocks.{l}", "blocks.{l}.attn", "blocks.{l}.mlp"
M = "layers.{l}"

LLAMA = Layout(
    "Meta Llama",
    {
        "tok_embeddings.weight": stored("V D", "token.weight"),
        f"{M}.attention_norm.weight": stored("D", f"{AT}.norm1.gain"),
        f"{M}.attention.wq.weight": stored("HK D", f"{ATTN}.q.weight", rotary="pairs"),
        f"{M}.attention.wk.weight": stored("GK D", f"{ATTN}.k.weight", rotary="pairs"),
        f"{M}.attention.wv.weight": stored("GK D", f"{ATTN}.v.weight"),
        f"{M}.attention.wo.weight": stored("D HK", f"{ATTN}.out.weight"),
        f"{M}.ffn_norm.weight": stored("D", f"{AT}.norm2.gain"),
        f"{M}.feed_forward.w1.weight": stored("F D", f"{MLP}.gate.weight"),
        f"{M}.feed_forward.w3.weight": stored("F D", f"{MLP}.up.weight"),
        f"{M}.feed_forward.w2.weight": stored("D F", f"{MLP}.down.weight"),
        "norm.weight": stored("D", "final_norm.gain"),
        "output.weight": stored("V D", "unembed.weight"),
    },
    ignored={"rope.freqs": "the rotary frequencies, computed from theta here"},
)

# The axis along which shards follow one another, by the last words of the name; other arrays are in every shard.
CUT = {
    "attention.wq.weight": 0,
    "attention.wk.weight": 0,
    "attention.wv.weight": 0,
    "attention.wo.weight": 1,
    "feed_forward.w1.weight": 0,
    "feed_forward.w3.weight": 0,
    "feed_forward.w2.weight": 1,
    "output.weight": 0,
}
