"""What a file or folder is that holds no model byhand can read, in one line with the likely fix."""

from __future__ import annotations

from pathlib import Path

from byhand.checkpoints.files import torch_files
from byhand.checkpoints.files.mapped import beginning
from byhand.errors import InputError

READS = "byhand reads Hugging Face, Meta, llm.c, llama2.c, GGUF, OpenAI's GPT-2, nanoGPT and its own folders"

NPZ = "a NumPy archive (.npz), which has no config; make the model with byhand.make(family, config, arrays)"

# How files begin that people have beside a model, or mistake for one.
STARTS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a git-LFS pointer, not the file itself; fetch it with: git lfs pull"),
    (b"\x89HDF", "an HDF5 file of TensorFlow or Keras; take the folder's safetensors or pytorch_model.bin"),
    (b"\x93NUMPY", "one NumPy array; a model needs a name for each array"),
    (b"GGUF", "a GGUF file"),
    (b"lmgg", "a file of llama.cpp before GGUF; convert the model anew"),
    (b"fmgg", "a file of llama.cpp before GGUF; convert the model anew"),
    (b"tjgg", "a file of llama.cpp before GGUF; convert the model anew"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"(\xb5/\xfd", "compressed with zstd; unpack it first"),
    (b"<", "a web page, such as a sign-in page that was saved in place of the file; download it again"),
    (b"{", "a JSON file; name the folder that it lies in"),
    (b"\x7fELF", "a program"),
    (b"%PDF", "a PDF document"),
)
OTHER_WEIGHTS = {
    "tf_model.h5": "TensorFlow",
    "flax_model.msgpack": "Flax",
    "model.onnx": "ONNX",
    "rust_model.ot": "Rust",
}


def described(path: Path) -> str:
    """Why there is no model at a path."""
    if not path.exists():
        return f"there is nothing at {path}; check the name"
    if not path.is_file() and not path.is_dir():
        return f"{path} is neither a file nor a folder"  # a pipe would be waited for
    if torch_files.looks_like(path):
        return torch_file(path)
    what = folder(path) if path.is_dir() else file(path)
    return f"{path} is {what}"


def torch_file(path: Path) -> str:
    """A file of torch.save, or another zip archive, that no config lies beside."""
    try:
        torch_files.read(path)
    except InputError as error:
        return f"{path} is {NPZ}" if b".npy" in beginning(path, 200) else str(error)
    return f"{path} is a file of torch.save without a config; put config.json or params.json beside it"


def file(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            start = opened.read(1 << 16)
    except OSError as error:
        return f"a file that cannot be read: {error.strerror or error}"
    if not start:
        return "empty; the download or copy was cut off"
    if not start.strip(b"\0"):
        return "filled with zeros; the download was not finished, so fetch it again"
    if path.suffix == ".onnx":
        return f"an ONNX file, a graph of another kind; {READS}"
    if start[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    for begin, what in STARTS:
        if start.lstrip(b"\xef\xbb\xbf \r\n" if begin in (b"<", b"{") else b"").startswith(begin):
            return what
    if start.startswith(b"\x80"):
        return "a pickle that torch.save did not write; byhand runs no code from files, so save it as safetensors"
    return f"no model of a known format: it begins with {start[:8]!r}; {READS}"


def folder(path: Path) -> str:
    inside = {each.name: each for each in sorted(path.iterdir())}
    if not inside:
        return "an empty folder; the download was not finished"
    for name, each in inside.items():
        if each.is_file() and 0 < each.stat().st_size < 1024 and beginning(each, 64).startswith(STARTS[0][0]):
            return f"a folder in which {name} is {STARTS[0][1]}"
    for name, what in OTHER_WEIGHTS.items():
        if name in inside:
            return f"a folder with weights for {what} only ({name}); take its safetensors or pytorch_model.bin"
    if "config.json" in inside:
        return "a folder with config.json but no weights; model.safetensors or pytorch_model.bin is missing"
    if "params.json" in inside:
        return "a folder with params.json but no weights; consolidated.00.pth is missing"
    folders = [name for name, each in inside.items() if each.is_dir()]
    hint = f"; perhaps you mean {path / folders[0]}" if folders else ""
    return f"a folder without a model: it holds {', '.join(list(inside)[:4])}{hint}; {READS}"
