"""What can be wrong with images and folders, in one list: a search stops at an error, a check tells them all."""

from dataclasses import dataclass
from pathlib import Path

from evospace.errors import printable


@dataclass(frozen=True)
class Kind:
    """A kind of problem, what to do about it, and whether it stops a search."""

    title: str
    todo: str
    error: bool


NO_CLASSES = Kind("too few class folders", "add one for each class", True)
PARTS_AS_CLASSES = Kind("parts that would be classes", "name them train/ and test/, or val/", True)
NO_TEST = Kind("no test part", "add one of them, with a folder for each class", True)
CLOSED_FOLDER = Kind("folder that cannot be entered", "mend its permissions", True)
EMPTY_CLASS = Kind("class without images", "add some, or remove the folder", True)
TEST_ONLY_CLASS = Kind("class in the test part only", "add it to train/, or remove it", True)
NOT_A_FILE = Kind("image name that is no file", "restore or remove it", True)
TOO_FEW = Kind("too few images", "add images", True)
UNREADABLE = Kind("unreadable image", "replace or remove the file", True)

UNTESTED_CLASS = Kind("class without test images", "add some; nothing tells how well it is recognised", False)
UNUSED_PART = Kind("part that is not used", "remove it, or use it in place of the other", False)
LINKED_FOLDER = Kind("link to a folder, not followed", "put the folder itself there if it is meant", False)
IGNORED = Kind("file that is ignored for its suffix", "convert it to PNG or JPEG if it is an image", False)
OUTSIDE = Kind("images outside the classes' folders, ignored", "move each into the folder of its class", False)
IMBALANCE = Kind("classes of very different size", "add images of the small one", False)
LEAK = Kind("same picture in training and test", "remove one of them; the test measures memory", False)
TWICE = Kind("picture that is there twice", "remove one of them; it may be trained and tested on", False)
TWO_CLASSES = Kind("same picture in two classes", "remove it from the wrong one", False)
TINY = Kind("tiny image", "give a larger one, or a smaller --image-size", False)
LONG = Kind("very long image", "crop it; only the middle square is seen", False)
ANIMATED = Kind("animation or several pages", "nothing, if its first frame is what counts", False)
COLOUR_LOST = Kind("colour image among grey ones", "make all grey or all coloured; its colours are dropped", False)


@dataclass(frozen=True)
class Finding:
    """One problem: its kind, the file, folder or class it concerns, and what is the matter."""

    kind: Kind
    where: Path | str
    detail: str

    @property
    def line(self) -> str:
        """Where and what, without what to do."""
        return printable(f"{self.where}: {self.detail}")

    @property
    def text(self) -> str:
        """The whole sentence."""
        return f"{self.line}; {self.kind.todo}"
