"""Every mistake is one line on stderr and exit code 2, and leaves nothing behind."""

import shlex

import pytest

MISTAKES = {
    # models and texts
    "run nosuch aab": "no model 'nosuch'",
    "run gpt2-tyni aab": "the nearest are gpt2-tiny",
    "models nosuch": "no model 'nosuch'",
    "pseudocode nosuch": "no model 'nosuch'",
    "run aab": "needs TEXT or --ids",
    "run aab ''": "the text is empty",
    "run aab abc": "character 'c' at 2",
    "run aab aabaab": "6 tokens, but the model reads at most 5",
    "run aab aab --ids 1,0": "both TEXT and --ids",
    "run gpt2-124m Hello": "no tokenizer; give token ids from 0 to 50256",
    "run aab --ids 1,x": "cannot read --ids '1,x'",
    "run aab --ids ''": "cannot read --ids ''",
    "run aab --ids 0,7": "is 7 at [0, 1]; the vocabulary has 0 … 1",
    "run aab aab --dtype float8": "no dtype 'float8'; there are: float64, float32, bfloat16",
    "run aab aab --engine warp": "no engine 'warp'",
    "run aab a --loss": "there is no loss: give two tokens or more, or --targets\n",
    "run bert-tiny ab --loss": "there is no loss: give --targets\n",
    "run minilm-l6 --ids 1,2 --loss": "there is no loss: this model has no logits\n",
    "run aab aab --targets 1,2": "targets has shape (1, 2)",
    "run aab aab --targets 1,5,0": "targets is 5",
    "run original-tiny aab": "needs --source or --source-ids",
    "run aab aab --source a": "",
    "run aab aab --keep nosuch": "no value 'nosuch'",
    "run aab aab --top 0": "--top is 0",
    "run llama3-70b --ids 1,2": "is free",
    # continuing
    "run aab aab --generate -5": "--generate is -5",
    "run bert-tiny Hello --generate 5": "does not read left to right",
    "run aab aab --generate 5 --loss": "leave out --loss",
    "run aab aab --generate 5 --engine warp": "no engine 'warp'",
    "run aab aab --generate 5 --edit blocks.0.attn.heads=0": "can only edit weights",
    "run aab aab --generate 5 --edit nosuch=0": "no value 'nosuch'",
    # edits
    "run aab aab --edit 'blocks.0.attn.q.weight[0,0,0]=nan'": "blocks.0.attn.q[0,0,0,0] is the first NaN",
    "run aab aab --edit 'blocks.0.attn.q.weight[0,0,0]'": "cannot read the edit",
    "run aab aab --edit 'blocks.0.attn.q.weight[0,0,0]=x'": "cannot read the value 'x'",
    "run aab aab --edit 'blocks.0.attn.q.weight[0,z,0]=1'": "cannot read the index 'z'",
    "run aab aab --edit 'blocks.0.attn.q.weight[9]=1'": "index 9 is out of range; there are 8",
    "run aab aab --edit 'embed.out[0,3:9]=1'": "chooses nothing",
    "run aab aab --edit 'embed.out[0,0,0,0]=1'": "got 4 indices",
    "run aab aab --edit 'embed.out[head=0]=1'": "no 'head'",
    "run aab aab --edit 'embed.out[0,head=0]=1'": "by number and by name",
    "run aab aab --edit 'nosuch=1'": "no value 'nosuch'",
    "run aab aab --edit 'mask[0,0,0]=0'": "nothing to see",
    "run aab aab --edit 'tokens[0,1]=c'": "character 'c'",
    "run aab aab --edit 'tokens[0,1]=7'": "the vocabulary has 0 … 1",
    "run aab aab --edit 'losses.logsumexp=0'": "only looked at",
    # addresses
    "trace aab aab nosuch": "no value 'nosuch'",
    "trace aab aab blocks.0.attn.weigts": "the nearest are blocks.0.attn.weights",
    "trace aab aab 'blocks.7.*'": "no value 'blocks.7.*'",
    "trace aab aab 'd:blocks.7.*'": "no value 'blocks.7.*'",
    "trace aab aab 'logits[0,9]'": "index 9 is out of range; there are 3",
    "trace aab aab 'logits[0,5:]'": "chooses nothing",
    "trace aab aab 'logits[0,0,0,0]'": "got 4 indices",
    "trace aab aab 'logits[0'": "cannot read the place",
    "trace aab aab d:tokens": "d:tokens",
    "trace aab a --backward": "there is no loss to go back from: give two tokens or more, or --targets, or --of",
    "trace bert-tiny ab --backward": "there is no loss to go back from: give --targets, or --of",
    "trace aab a d:embed.out": "there is no loss",
    "trace aab aab --of nosuch": "no value 'nosuch'",
    "trace aab aab --of logits": "say which T",
    "trace aab aab --of 'embed.out[0,0,0]' d:probs": "does not depend on probs",
    "explain aab aab": "explain one number",
    "explain aab aab logits probs": "got 2 addresses",
    "explain aab aab logits": "say which T",
    "explain aab aab 'logits[0,9,0]'": "index 9 is out of range; there are 3",
    "explain aab aab 'logits[0,0]'": "got 2 indices; give 3",
    "explain aab aab 'logits[0,:,1]'": "means several numbers",
    "explain aab aab 'd:nosuch[0]'": "no value 'd:nosuch'",
    "explain aab aab 'preatt[0,0,0,0,9]'": "preatt, axis S: index 9 is out of range",
    "explain aab aab logits --position 1 --token z": "character 'z'",
    "explain aab aab logits --position 1 --token ab": "'ab' is 2 tokens",
    "explain minilm-l6 --ids 1,2 pooler.out --position 0 --token a": "no tokenizer",
    "explain aab aab logits --head 1 --token a": "no 'head'",
    "explain aab aab 'logits[0,1,1]' --token a": "got an index and also token",
    "explain aab aab 'logits[0,1,1]' --by head": "nothing that logits was made from has that axis",
    "explain aab aab 'probs[0,0,0]' --split": "--split takes a logit apart",
    "explain aab aab 'logits[0,1,1]' --terms none": "--terms is 'none'",
    "explain aab aab 'logits[0,1,1]' --terms 0": "--terms is '0'",
    "explain aab aab 'logits[0,1,1]' --digits 18": "--digits is 18",
    "explain aab aab 'logits[0,1,1]' --depth 101": "--depth is 101",
    # tables and pseudocode
    "models aab --tokens 0": "--tokens is 0",
    "models aab --batch 0": "--batch is 0",
    "models aab --tokens 9": "reads at most 5",
    "models aab --dtype float8": "no dtype 'float8'",
    "models aab --source-tokens 3": "translates nothing",
    "pseudocode aab nosuch": "'nosuch'",
    "pseudocode aab --depth deep": "--depth is 'deep'",
    "pseudocode aab --tokens 0": "--tokens is 0",
    "pseudocode aab --json --markdown": "both --json and --markdown",
    "pseudocode aab --text aab": "--text is for --depth numbers",
    "pseudocode aab --depth numbers": "shows one element",
    "pseudocode aab --depth numbers --element 'logits[0,0,0]'": "needs --text or --ids",
    "pseudocode aab --depth numbers --text aab --element logits": "say which T",
    "pseudocode aab --depth numbers --text aab --element 'logits[0,0,0]' --backward": "--element 'd:logits[0,0,0]'",
    # files
    "trace aab aab --out nowhere/values.npz": "there is no folder nowhere",
    "trace aab aab --out .": ". is a folder",
    "trace aab aab --out /proc/values.npz": "/proc",
    # options
    "--nosuch": "No such option: --nosuch; see byhand --help",
    "nosuch": "No such command 'nosuch'; see byhand --help",
    "run": "Missing argument 'MODEL'; see byhand run --help",
    "run aab aab --nosuch": "No such option: --nosuch",
    "run aab aab more": "unexpected extra argument",
    "run aab aab --seed x": "Invalid value for '--seed': got 'x'; give a whole number; see byhand run --help\n",
    "run aab aab --top 1.5": "Invalid value for '--top': got '1.5'; give a whole number",
    "explain aab aab logits --token a --position x": "Invalid value for '--position': got 'x'; give a whole number",
    "models aab --source-tokens x": "Invalid value for '--source-tokens': got 'x'; give a whole number",
    "models aab --tokens": "--tokens",
}


@pytest.mark.parametrize(("words", "said"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_one_line(byhand, monkeypatch, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    for extra in ([], ["--json"]):
        answer = byhand(*shlex.split(words), *extra, code=2)
        assert answer.err.startswith("byhand: error: ") and answer.err.count("\n") == 1
        assert said in answer.err
        assert answer.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_line_break_in_what_was_typed_makes_no_second_line(byhand):
    answer = byhand("trace", "aab", "aab", "--out", "no\nfolder/x.npz", code=2)
    assert answer.err.count("\n") == 1
