"""Every kind of bad input: how it is made (in the current folder), the command it is given to, and the exit code.

`python -m tests.bad_input` prints the table of docs/reliability.md by trying them all.
"""

import contextlib
import io
import json
import os
import pickle
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from evospace.cli import main
from evospace.cost.latency_file import table_to_json
from evospace.estimation.evaluation import Evaluation
from evospace.ops.pools import pool_names
from evospace.runs.checkpoints import save_checkpoint
from evospace.runs.front import Front
from evospace.runs.network_file import TrainedNetwork, save_network
from evospace.space.architecture import Architecture
from evospace.space.described import DescribedNetwork
from evospace.space.skeleton import make_skeleton
from evospace.supernet.network import Network
from tests.profiling.tables import digits_table

SEARCH = "search --data images --budget macs=1M --out run"
CHECK = "check images"
STUDY = "study space-size --preset tiny --out s"
ODD = Path("images/b/odd.jpg")
Make = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One bad input; code 0 is for what is dealt with."""

    given: str
    make: Make
    command: str
    code: int


def picture(seed: int, size: tuple[int, int] = (16, 16), mode: str = "RGB") -> Image.Image:
    """Noise, another for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def folder(root: str = "images", classes: tuple[str, ...] = ("a", "b"), first: int = 0, count: int = 6) -> None:
    """A sound folder of images."""
    for index, name in enumerate(classes):
        Path(root, name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture(first + 100 * index + number).save(Path(root, name, f"{number}.png"))


def with_image(content: bytes | Image.Image, path: Path = ODD, **options: Any) -> Make:
    """A sound folder with one image more."""

    def make() -> None:
        folder()
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path, **options)

    return make


def encoded(image: Image.Image, kind: str = "JPEG") -> bytes:
    """The file of an image."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def also(step: Callable[[], object]) -> Make:
    """A sound folder, then one step more."""

    def make() -> None:
        folder()
        step()

    return make


def parts(train: tuple[str, ...], test: tuple[str, ...]) -> Make:
    """Two parts, with these classes."""

    def make() -> None:
        folder("images/train", train)
        folder("images/test", test, first=5000)

    return make


def parts_of_other_names() -> None:
    """Two parts that would be classes."""
    folder("images/Training")
    folder("images/Testing", first=5000)


def _socket() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(ODD))


def _sixteen_bits() -> Image.Image:
    return Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 257)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _frames(where: Path) -> None:
    picture(999, mode="P").save(where, save_all=True, append_images=[picture(998, mode="P")])


BAD_NAME = os.fsdecode(b"cl\xffss")
IMAGES = [
    Case("a truncated JPEG", with_image(encoded(picture(999, (64, 64)))[:700]), SEARCH, 4),
    Case("a truncated PNG", with_image(encoded(picture(999), "PNG")[:200]), SEARCH, 4),
    Case("an empty file", with_image(b""), SEARCH, 4),
    Case("a web page named .jpg", with_image(b"<!DOCTYPE html><html></html>"), SEARCH, 4),
    Case("a PDF named .jpg", with_image(b"%PDF-1.7\n"), SEARCH, 4),
    Case("a bomb of 196 megapixels", with_image(Image.new("1", (14000, 14000)), Path("images/b/odd.png")), SEARCH, 4),
    Case("98 megapixels", with_image(Image.new("1", (9900, 9900)), Path("images/b/odd.png")), SEARCH, 4),
    Case("32 bits a value", with_image(Image.new("F", (9, 9)), Path("images/b/odd.tif")), SEARCH, 4),
    Case("a dangling link", also(lambda: ODD.symlink_to("nowhere")), SEARCH, 4),
    Case("a loop of links", also(lambda: ODD.symlink_to("odd.jpg")), SEARCH, 4),
    Case("a FIFO named .jpg", also(lambda: os.mkfifo(ODD)), SEARCH, 4),
    Case("a socket named .jpg", also(_socket), SEARCH, 4),
    Case("a link to /dev/zero named .jpg", also(lambda: ODD.symlink_to("/dev/zero")), SEARCH, 4),
    Case("CMYK", with_image(picture(999, mode="CMYK")), CHECK, 0),
    Case("16 bits (scaled to 8)", with_image(_sixteen_bits(), Path("images/b/odd.png")), CHECK, 0),
    Case("a palette", with_image(picture(999, mode="P"), Path("images/b/odd.png")), CHECK, 0),
    Case("RGBA", with_image(picture(999, mode="RGBA"), Path("images/b/odd.png")), CHECK, 0),
    Case("1 x 1", with_image(picture(999, (1, 1))), CHECK, 0),
    Case("1 x 10000", with_image(picture(999, (1, 10000))), CHECK, 0),
    Case("turned by EXIF (set upright)", with_image(picture(999), exif=_turned()), CHECK, 0),
    Case("an animation", also(lambda: _frames(Path("images/b/odd.gif"))), CHECK, 0),
    Case("a text file among the images", also(lambda: Path("images/b/notes.txt").touch()), CHECK, 0),
]
FOLDERS = [
    Case("parts of other names", parts_of_other_names, SEARCH, 4),
    Case("images outside the classes", also(lambda: picture(999).save("images/odd.png")), CHECK, 0),
    Case("no such folder", lambda: None, SEARCH, 2),
    Case("a name too long for the file system", lambda: None, f"check {'a' * 300}", 2),
    Case("the home of nobody", lambda: None, "check ~nobody-of-that-name/x", 2),
    Case("a file in place of a folder", lambda: Path("images").touch(), SEARCH, 2),
    Case("an empty folder", lambda: Path("images").mkdir(), SEARCH, 4),
    Case("one class", lambda: folder(classes=("a",)), SEARCH, 4),
    Case("an empty class", also(lambda: Path("images/c").mkdir()), SEARCH, 4),
    Case("a class folder that is a dangling link", also(lambda: Path("images/c").symlink_to("nowhere")), SEARCH, 4),
    Case("a link from a class to a folder above", also(lambda: Path("images/a/up").symlink_to("..")), CHECK, 0),
    Case("a class in test only", parts(("a", "b"), ("a", "b", "c")), SEARCH, 4),
    Case("a class in train only", parts(("a", "b", "c"), ("a", "b")), CHECK, 0),
    Case("train without test", lambda: folder("images/train"), SEARCH, 4),
    Case("one image a class", lambda: folder(count=1), SEARCH, 4),
    Case("too few images", lambda: folder(count=4), SEARCH, 4),
    Case("a class name that is not UTF-8", lambda: folder(classes=("a", BAD_NAME)), CHECK, 0),
    Case("a file name that is not UTF-8", with_image(b"", Path("images/b", BAD_NAME + ".jpg")), SEARCH, 4),
    Case("a line break in a file name", with_image(b"", Path("images/b/x\ny.jpg")), SEARCH, 4),
    Case("markup in a class name", lambda: folder(classes=("a", "<script>x<")), CHECK, 0),
]


def settings(text: str | bytes, path: str = "c.yaml") -> Make:
    """A settings file."""
    content = text if isinstance(text, bytes) else text.encode()

    def make() -> None:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(content)

    return make


CONFIG = "search --config c.yaml"
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20))
SETTINGS = [
    Case("a tag that runs a program", settings("data: !!python/object/apply:os.system ['touch canary']"), CONFIG, 2),
    Case("a home folder", settings("out: ~/runs/mine"), CONFIG, 2),
    Case("a tag", settings("epochs: !!int ''"), CONFIG, 2),
    Case("a billion laughs", settings(LAUGHS), CONFIG, 2),
    Case("an unknown setting", settings("epoch: 3"), CONFIG, 2),
    Case("a wrong type", settings("epochs: many"), CONFIG, 2),
    Case("a number without a point", settings("lr: 1e-3"), CONFIG, 2),
    Case("not a number", settings("lr: .nan"), CONFIG, 2),
    Case("infinite", settings("lr: .inf"), CONFIG, 2),
    Case("5000 digits", settings("epochs: " + "9" * 5000), CONFIG, 2),
    Case("5000 hexadecimal digits", settings("epochs: 0x" + "f" * 5000), CONFIG, 2),
    Case("a setting twice", settings("epochs: 3\nepochs: 4"), CONFIG, 2),
    Case("a NUL in a name", settings('data: "a\\0b"\nbudget: macs=1M'), CONFIG, 2),
    Case("no YAML", settings("data: [digits"), CONFIG, 2),
    Case("deep nesting", settings("[" * 30000), CONFIG, 2),
    Case("an empty settings file", settings(""), CONFIG, 2),
    Case("a settings file that is a list", settings("- data"), CONFIG, 2),
    Case("binary", settings(bytes(range(256))), CONFIG, 2),
    Case("a settings file of 1 MB", settings("# " + "x" * 1000000), CONFIG, 2),
    Case("a folder as settings file", lambda: Path("c.yaml").mkdir(), CONFIG, 2),
    Case("a FIFO as settings file", lambda: os.mkfifo("c.yaml"), CONFIG, 2),
    Case("no settings file", lambda: None, CONFIG, 2),
    *(
        Case(f"damaged settings, {command}", settings("data: [", "begun/config.yaml"), command, 4)
        for command in ("search --out begun --resume", "retrain --out begun --resume", "report begun")
    ),
    Case("a misspelt flag", lambda: None, "search --dat digits --budget macs=1M --out run", 2),
    Case("a flag of a wrong type", lambda: None, "search --data digits --epochs many --out run", 2),
    Case("a flag that is no choice", lambda: None, "search --data digits --branches both --out run", 2),
    Case("a command without what it needs", lambda: None, "check", 2),
    Case("fewer images than a search needs", lambda: None, "search --data digits --budget macs=1M --train-images 5", 2),
    *(
        Case(f"--{flag}", lambda: None, f"search --data digits --budget macs=1M --{flag}", 2)
        for flag in ("lr nan", "lr inf", "epochs 0", "workers -1", "prune-threshold nan", "seed 99999999999999999999")
    ),
    *(
        Case(f"--budget {budget}", lambda: None, f"search --data digits --budget {budget}", code)
        for budget, code in (
            *(("macs=nan", 2), ("macs=1e999", 2), ("macs=-5", 2), ("macs=0", 2), ("macs=5..2", 2)),
            *(("macs=1", 3), ("mac=1M", 2), ("20M", 2)),
        )
    ),
    *(
        Case(f"--{flags}", lambda: None, f"search --data digits --budget macs=1M --{flags}", 2)
        for flags in (
            *("strategy sposs", "strategy spos --darts-order 2", "strategy darts --branches multi"),
            *("strategy random --max-rounds 2", "operations 28", "train-images 99999"),
        )
    ),
    Case("the home folder of a profile", lambda: None, "profile --image-size 8 --out ~/t.json", 2),
    Case("the home folder of an export", lambda: None, "export nsenet-27 --out ~/x", 2),
    Case("a study of an unknown strategy", lambda: None, f"{STUDY} --strategies sposs", 2),
    Case("epochs that rounds do not divide", lambda: None, f"{STUDY} --epochs 10", 2),
    Case("a study's budget that no part of the pool can meet", lambda: None, f"{STUDY} --budget macs=100..200", 3),
    Case("a folder that holds no study", folder, "study report images", 2),
    Case("a ranking of no run", folder, "study ranking images", 2),
]


def sound_front() -> dict[str, Any]:
    """The content of a front that can be read."""
    skeleton = make_skeleton(None, image_size=8, image_channels=1)
    architecture = Architecture.of([["mbconv_k3_e1"]] * len(skeleton.blocks()))
    member = Evaluation(architecture=architecture, macs=5, params=6, accuracy=0.5, round=1)
    front = Front(budget="macs=1M", data="digits", class_names=("a", "b"), skeleton=skeleton, seed=0, members=(member,))
    return front.to_json()


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch canary",)


def front(content: bytes | dict[str, Any]) -> Make:
    """A front.json with other bytes, or with other values for some keys."""
    raw = content if isinstance(content, bytes) else json.dumps(sound_front() | content).encode()
    return lambda: Path("front.json").write_bytes(raw)


def member(**changes: Any) -> Make:
    """A front.json whose only member is changed."""
    return front({"front": [sound_front()["front"][0] | changes]})


def skeleton(**changes: Any) -> Make:
    """A front.json whose skeleton is changed."""
    return front({"skeleton": sound_front()["skeleton"] | changes})


SHOW = "show front.json"
SOUND = json.dumps(sound_front()).encode()
BLOCKS = 7
HUGE = [{"channels": 65536, "entry": "expand", "repeat": 65535}] * 5
FRONTS = [
    Case("no front", lambda: None, SHOW, 2),
    Case("an empty front.json", front(b""), SHOW, 4),
    Case("a truncated front.json", front(SOUND[:300]), SHOW, 4),
    Case("another JSON file", front(b'{"model": "resnet"}'), SHOW, 4),
    Case("a pickle named front.json", front(pickle.dumps(Canary())), SHOW, 4),
    Case("a safetensors file", front((8).to_bytes(8, "little") + b"{}      \xff\xfe"), SHOW, 4),
    Case("a front.json nested deeply", front(b"[" * 200000), SHOW, 4),
    Case("a number of 5000 digits", front(b'{"format": ' + b"9" * 5000 + b"}"), SHOW, 4),
    Case("NaN in a front.json", member(accuracy=float("nan")), SHOW, 4),
    Case(
        "1e999 in a front.json",
        front(json.dumps(sound_front()).replace('"seed": 0', '"seed": 1e999').encode()),
        SHOW,
        4,
    ),
    Case("a key twice", front(b'{"format": 1, "format": 1}'), SHOW, 4),
    Case("an operation that is not registered", member(architecture=[["nothing_k3"]] * BLOCKS), SHOW, 2),
    Case("a path for an operation's name", member(architecture=[["../../etc/passwd"]] * BLOCKS), SHOW, 4),
    Case("groups that do not divide", member(architecture=[["mbconv_k3_e1_g7x7"]] * BLOCKS), SHOW, 2),
    Case("another number of blocks", member(architecture=[["mbconv_k3_e1"]]), SHOW, 4),
    Case("a negative cost", member(macs=-1), SHOW, 4),
    Case("a skeleton of 327680 blocks", skeleton(stages=HUGE), SHOW, 4),
    Case("a skeleton of 10^12 channels", skeleton(stem_channels=10**12), SHOW, 4),
    Case("sizes past 2^63", member(architecture=[["conv_k99999_e99999"]] * BLOCKS), SHOW, 4),
    Case("no member", front({"front": []}), SHOW, 4),
    Case("a member that is not there", front({}), f"{SHOW}#7", 2),
    Case("a FIFO named front.json", lambda: os.mkfifo("front.json"), SHOW, 4),
]
DIGITS = "search --data digits --out run --budget"
LATENCY = "search --data digits --out run --budget latency=0.6ms --latency-table t.json"


def latencies(content: bytes | dict[str, Any] | None = None, names: str = "mobile27") -> Make:
    """A latency table for searches on digits, changed; or other bytes in its place."""

    def make() -> None:
        data = table_to_json(digits_table(pool_names(names))) | (content if isinstance(content, dict) else {})
        Path("t.json").write_bytes(content if isinstance(content, bytes) else json.dumps(data).encode())

    return make


def elsewhere() -> None:
    """A table of another machine."""
    latencies({"machine": {"processor": "abacus", "system": "none"}})()


TFLITE = {"runtime": "tflite", "device": "cpu", "batch": 1, "threads": 1, "dtype": "float32"}
NOTHING: Make = lambda: None  # noqa: E731
BUDGETS = [
    Case("a budget of zero", NOTHING, f"{DIGITS} macs=0", 2),
    Case("a negative budget", NOTHING, f"{DIGITS} macs=-5", 2),
    Case("a budget that is no number", NOTHING, f"{DIGITS} macs=nan", 2),
    Case("a window whose start is above its end", NOTHING, f"{DIGITS} macs=3M..2M", 2),
    Case("a window between two reachable costs", NOTHING, f"{DIGITS} macs=69729..69730", 3),
    Case("a window that the first round's operations do not reach", NOTHING, f"{DIGITS} macs=100000..100100", 3),
    Case("a budget below the cheapest network", NOTHING, f"{DIGITS} macs=1", 3),
    Case("a plan for such a budget", NOTHING, "plan --data digits --budget macs=1", 3),
    Case("a budget above the dearest network", NOTHING, f"{DIGITS} macs=1G", 3),
    Case("an upper limit that nothing keeps", NOTHING, f"{DIGITS} macs=1M,params=1K", 3),
    Case("the same metric twice", NOTHING, f"{DIGITS} macs=1M,macs=2M", 2),
    Case("a latency without a unit", latencies(), f"{DIGITS} latency=3 --latency-table t.json", 2),
    Case("a latency in millions", latencies(), f"{DIGITS} latency=3M --latency-table t.json", 2),
    Case("a latency that is no number", latencies(), f"{DIGITS} latency=nanms --latency-table t.json", 2),
    Case("a latency that is out of reach", latencies(), f"{DIGITS} latency=1us --latency-table t.json", 3),
    Case("a latency budget without a table", NOTHING, f"{DIGITS} latency=3ms", 2),
    Case("no table", NOTHING, LATENCY, 4),
    Case("a table that lacks an operation", latencies(names="mobile27:kernel<=9"), LATENCY, 4),
    Case("an unfinished table", latencies({"fit": None}), LATENCY, 4),
    Case("a table for other networks", latencies({"classes": 7}), LATENCY, 4),
    Case("a table of a runtime that is unknown", latencies({"setting": TFLITE}), LATENCY, 4),
    Case("a front.json for a table", latencies(SOUND), LATENCY, 4),
    Case("a pickle for a table", latencies(pickle.dumps(Canary())), LATENCY, 4),
    Case("a table of another machine to verify", elsewhere, "profile --verify t.json", 2),
    Case("more threads than cores", NOTHING, "profile --out t.json --threads 1000", 2),
    Case("a profile into another one's table", latencies(), "profile --out t.json --batch 4 --skeleton small8", 2),
    Case("a batch of zero", NOTHING, "profile --out t.json --batch 0", 2),
    Case("neither a table to write nor one to verify", NOTHING, "profile", 2),
]


def checkpoint(change: Callable[[bytes], bytes] = lambda sound: sound, classes: int = 10) -> Make:
    """A checkpoint of a small network, its bytes changed."""

    def make() -> None:
        skeleton = make_skeleton(None, image_size=8, image_channels=1)
        architecture = Architecture.of([["mbconv_k3_e1"]] * len(skeleton.blocks()))
        names = tuple(map(str, range(classes)))
        described = DescribedNetwork(
            name="small", skeleton=skeleton, architecture=architecture, class_names=names, data="digits"
        ).trained_on("digits", names, (0.5,), (0.3,))
        network = Network(skeleton, architecture, classes)
        path = Path("net.safetensors")
        save_network(path, TrainedNetwork(described=described, weights=network.state_dict()))
        path.write_bytes(change(path.read_bytes()))

    return make


def torch_pickle() -> None:
    """A file of `torch.save` that runs a command where it is unpickled."""
    torch.save(Canary(), "net.safetensors")


def supernet() -> None:
    """A checkpoint of a search, which holds no network's description."""
    save_checkpoint(Path("net.safetensors"), {"stem": torch.zeros(2)}, {"round": 1})


def another_network() -> None:
    """A sound checkpoint, and a front of other networks."""
    checkpoint()()
    front({"front": [sound_front()["front"][0] | {"architecture": [["mbconv_k5_e1"]] * BLOCKS}]})()


EVALUATE = "evaluate net.safetensors"
TUNE = "retrain --init net.safetensors --data digits --epochs 1 --out run"
CHECKPOINTS = [
    Case("no checkpoint", NOTHING, EVALUATE, 4),
    Case("an empty checkpoint", checkpoint(lambda sound: b""), EVALUATE, 4),
    Case("a truncated checkpoint", checkpoint(lambda sound: sound[:-500]), EVALUATE, 4),
    Case("a checkpoint with one bit flipped", checkpoint(lambda s: s[:-9] + bytes([s[-9] ^ 1]) + s[-8:]), EVALUATE, 4),
    Case("a pickle named .safetensors", checkpoint(lambda sound: pickle.dumps(Canary())), EVALUATE, 4),
    Case("a malicious file of torch.save", torch_pickle, EVALUATE, 4),
    Case("such a file to fine-tune", torch_pickle, TUNE, 4),
    Case("a supernet's checkpoint", supernet, EVALUATE, 4),
    Case("a folder without a retraining", lambda: Path("net.safetensors").mkdir(), EVALUATE, 4),
    Case("a checkpoint for another number of classes", checkpoint(classes=7), EVALUATE, 4),
    Case("the weights of another network", another_network, f"retrain front.json {TUNE.removeprefix('retrain ')}", 4),
    Case("supernet weights without a run", front({}), "retrain front.json --init supernet --out run", 2),
    Case("a recipe that is unknown", NOTHING, "retrain nsenet --recipe imagnet --data digits --out run", 2),
    Case("a budget that no width meets", NOTHING, "retrain nsenet --data digits --fit-budget macs=1 --out run", 3),
    Case("a network that is unknown", NOTHING, "retrain nsenet-28 --data digits --out run", 2),
    Case("an augmentation that is unknown", NOTHING, "retrain nsenet --data digits --aa auto --out run", 2),
]
GROUPS = {
    "Images": IMAGES,
    "Folders": FOLDERS,
    "Settings and flags": SETTINGS,
    "`evospace show`": FRONTS,
    "Budgets and latency tables": BUDGETS,
    "Retraining and checkpoints": CHECKPOINTS,
}


@dataclass(frozen=True)
class Outcome:
    """What a user gets."""

    code: int
    err: str
    out: str

    @property
    def seen(self) -> str:
        """The line on standard error, else the first warning and where it was found."""
        lines = self.out.splitlines()
        first = next((i for i, line in enumerate(lines) if line.startswith("warning")), None)
        return self.err.strip() or ("(used)" if first is None else f"(used) {lines[first]} {lines[first + 1].strip()}")


def attempt(case: Case) -> Outcome:
    """Run a case in the current folder, which has to be empty."""
    case.make()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(case.command.split())
    return Outcome(code, err.getvalue(), out.getvalue())


def cell(text: str) -> str:
    """`text` for a table in Markdown, cut where it is very long."""
    text = text if len(text) <= 300 else f"{text[:297]}..."
    return text.replace("|", "\\|")


def table() -> str:
    """The tables of docs/reliability.md."""
    lines = []
    for title, cases in GROUPS.items():
        lines += [f"### {title}", "", "| given | what the user sees | exit code |", "|---|---|---|"]
        for case in cases:
            with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
                outcome = attempt(case)
            lines.append(f"| {cell(case.given)} | `{cell(outcome.seen)}` | {outcome.code} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table())
