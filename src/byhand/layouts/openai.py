"""OpenAI's names of GPT-2's variables.

Source: model.py of OpenAI's gpt-2. A matrix w is input first and was saved with a leading axis of size one, which the
reader takes away.
"""

from byhand.layouts.layout import Layout, Stored, stored

AT, ATTN, MLP, H = "blocks.{l}", "blocks.{l}.attn", "blocks.{l}.mlp", "model/h{l}"
QKV = [f"{ATTN}.{each}" for each in "qkv"]


def norm(name: str, weights: str) -> dict[str, Stored]:
    return {f"{name}/g": stored("D", f"{weights}.gain"), f"{name}/b": stored("D", f"{weights}.shift")}


GPT2 = Layout(
    "OpenAI's GPT-2",
    {
        "model/wte": stored("V D", "token.weight"),
        "model/wpe": stored("P D", "position.weight"),
        **norm(f"{H}/ln_1", f"{AT}.norm1"),
        f"{H}/attn/c_attn/w": stored("D +HK", *(f"{each}.weight" for each in QKV)),
        f"{H}/attn/c_attn/b": stored("+HK", *(f"{each}.bias" for each in QKV)),
        f"{H}/attn/c_proj/w": stored("HK D", f"{ATTN}.out.weight"),
        f"{H}/attn/c_proj/b": stored("D", f"{ATTN}.out.bias"),
        **norm(f"{H}/ln_2", f"{AT}.norm2"),
        f"{H}/mlp/c_fc/w": stored("D F", f"{MLP}.up.weight"),
        f"{H}/mlp/c_fc/b": stored("F", f"{MLP}.up.bias"),
        f"{H}/mlp/c_proj/w": stored("F D", f"{MLP}.down.weight"),
        f"{H}/mlp/c_proj/b": stored("D", f"{MLP}.down.bias"),
        **norm("model/ln_f", "final_norm"),
    },
    ignored={
        "*/Adam": "what the optimiser remembers",
        "*/Adam_1": "what the optimiser remembers",
        "beta?_power": "what the optimiser remembers",
        "global_step": "how many steps it was trained",
    },
)
