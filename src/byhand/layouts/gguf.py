"""llama.cpp's names of arrays in a GGUF file.

Sources: llama.cpp's converter (conversion/gpt2.py, conversion/llama.py), its loaders (src/models/gpt2.cpp,
src/models/llama.cpp) and the name maps of its library gguf. Every matrix lies output first, GPT-2's too, so that one
row of a file is one output and can be quantised by itself. Llama's queries and keys hold each rotary pair as
(2j, 2j + 1): the converter reorders Hugging Face's.
"""

from byhand.layouts.hugging_face import linear, norm
from byhand.layouts.layout import Layout, stored

AT, ATTN, MLP, B = "blocks.{l}", "blocks.{l}.attn", "blocks.{l}.mlp", "blk.{l}"
QKV = [f"{ATTN}.{each}" for each in "qkv"]

GPT2 = Layout(
    "GGUF gpt2",
    {
        "token_embd.weight": stored("V D", "token.weight"),
        "position_embd.weight": stored("P D", "position.weight"),
        **norm(f"{B}.attn_norm", f"{AT}.norm1"),
        f"{B}.attn_qkv.weight": stored("+HK D", *(f"{each}.weight" for each in QKV)),
        f"{B}.attn_qkv.bias": stored("+HK", *(f"{each}.bias" for each in QKV)),
        **linear(f"{B}.attn_output", f"{ATTN}.out", "D HK"),
        **norm(f"{B}.ffn_norm", f"{AT}.norm2"),
        **linear(f"{B}.ffn_up", f"{MLP}.up", "F D"),
        **linear(f"{B}.ffn_down", f"{MLP}.down", "D F"),
        **norm("output_norm", "final_norm"),
        "output.weight": stored("V D", "unembed.weight"),
    },
)

LLAMA = Layout(
    "GGUF llama",
    {
        "token_embd.weight": stored("V D", "token.weight"),
        f"{B}.attn_norm.weight": stored("D", f"{AT}.norm1.gain"),
        f"{B}.attn_q.weight": stored("HK D", f"{ATTN}.q.weight", rotary="pairs"),
        f"{B}.attn_k.weight": stored("GK D", f"{ATTN}.k.weight", rotary="pairs"),
        f"{B}.attn_v.weight": stored("GK D", f"{ATTN}.v.weight"),
        f"{B}.attn_output.weight": stored("D HK", f"{ATTN}.out.weight"),
        f"{B}.ffn_norm.weight": stored("D", f"{AT}.norm2.gain"),
        f"{B}.ffn_gate.weight": stored("F D", f"{MLP}.gate.weight"),
        f"{B}.ffn_up.weight": stored("F D", f"{MLP}.up.weight"),
        f"{B}.ffn_down.weight": stored("D F", f"{MLP}.down.weight"),
        "output_norm.weight": stored("D", "final_norm.gain"),
        "output.weight": stored("V D", "unembed.weight"),
    },
    ignored={
        "*.attn_rot_embd.weight": "the rotary frequencies, computed from theta here",
        "rope_freqs.weight": "how far each rotary pair is slowed, kept as the config's scaling",
    },
)

LAYOUTS = {"gpt2": GPT2, "llama": LLAMA}
