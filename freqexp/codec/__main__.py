"""`python -m freqexp.codec`: image files to bitstreams, back to PNG files, and what is in them.

    python -m freqexp.codec encode PAGES -o OUT compressor=block_dct keep_ratio=0.3 [...]
    python -m freqexp.codec decode OUT -o PAGES [compressor=external ...]
    python -m freqexp.codec info OUT

A path is a file or a folder, which is searched; the tree below it is kept in the output folder.
`encode` takes the codec as `python -m freqexp.run` does; `decode` needs none, but for bitstreams
that a program of the user's wrote: the settings that it was given. One file that fails does not
stop the others; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.errors import DONE, FAILED, UserError, exit_code, fault

if TYPE_CHECKING:
    from freqexp.codecs.base import Codec

SUFFIX = ".fqxp"
IMAGES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".avif",
    ".bmp",
    ".tif",
    ".tiff",
    ".gif",
    ".pgm",
    ".ppm",
)

Work = Callable[[Path, Path], str]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code: 0 done, 1 a file failed, 2 bad input, 130 Ctrl-C."""
    options = _options(arguments)
    return exit_code(lambda: _command(options), "freqexp.codec")


def _command(options: argparse.Namespace) -> int:
    if options.command == "info":
        return _info(options.paths)
    if options.command == "decode":
        own = _codec(options.settings) if options.settings else None
        return _convert(options, (SUFFIX,), ".png", lambda source, to: _decode(own, source, to))
    codec = _codec(options.settings)
    return _convert(options, IMAGES, SUFFIX, lambda source, to: _encode(codec, source, to))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; exits with a usage message when it can't be understood."""
    parser = argparse.ArgumentParser(prog="python -m freqexp.codec", description="Page bitstreams.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("encode", "image files to bitstreams"),
        ("decode", "bitstreams to PNG files"),
        ("info", "what is in a bitstream"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        if name == "info":
            command.add_argument("paths", nargs="+", type=Path, help="files or folders")
            continue
        command.add_argument("path", type=Path, help="a file or a folder")
        command.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
        if name == "encode":
            command.epilog = "compressor=NAME keep_ratio=... choose the codec, as in freqexp.run"
        else:
            command.epilog = "compressor=external ... for what a program of yours has encoded"
    # argparse can't collect what stands before and after an option.
    options, settings = parser.parse_known_args(arguments)
    wrong = [text for text in settings if text.startswith("-") or options.command == "info"]
    if wrong:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    options.settings = settings
    return options


def _codec(settings: Sequence[str]) -> Codec:
    """The codec of Hydra overrides. Raises ConfigError, UserError for what stores no pages."""
    from freqexp.codecs.base import Codec
    from freqexp.composing.compose import compose

    cfg = compose(tuple(settings))
    parts = cfg.compressor.parts(cfg.keep_ratio)
    built = parts[0].build(cfg.profile) if len(parts) == 1 else None
    if not isinstance(built, Codec) or built.simulated:
        raise UserError(f"compressor={cfg.compressor.name} writes no bitstream with these settings")
    return built


def _files(path: Path, suffixes: Sequence[str]) -> list[tuple[Path, Path]]:
    """Each file and its place below `path`. Raises UserError when there is none."""
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes)
        files = [(file, file.relative_to(path)) for file in found if file.is_file()]
    elif path.is_file():
        files = [(path, Path(path.name))]
    else:
        raise UserError(f"{path}: no such file or folder")
    if not files:
        raise UserError(f"{path}: holds no file of {', '.join(suffixes)}")
    return files


def _convert(options: argparse.Namespace, suffixes: Sequence[str], to: str, work: Work) -> int:
    """Do `work` for every file, with a progress bar; say at the end which ones failed."""
    from tqdm import tqdm

    files = _files(options.path, suffixes)
    if options.output.exists() and not options.output.is_dir():
        raise UserError(fault("--output", str(options.output), "a folder; this is a file"))
    failed = 0
    # Nothing but results goes to standard output, so that it can be piped.
    with tqdm(files, unit="page", disable=not sys.stderr.isatty()) as bar:
        for source, place in bar:
            # The whole name stays, so that a.png and a.jpg do not meet.
            target = options.output / place.with_name(place.name.removesuffix(SUFFIX) + to)
            try:
                line = work(source, target)
            except UserError as error:
                failed += 1
                bar.write(f"{source}: {error}", file=sys.stderr)
            else:
                bar.write(line, file=sys.stdout)
    if failed:
        print(f"freqexp.codec: {failed} of {len(files)} files failed", file=sys.stderr)
    return FAILED if failed else DONE


def _encode(codec: Codec, source: Path, target: Path) -> str:
    from freqexp.codec.files import read_image, write_bytes

    pixels = read_image(source)
    data = codec.encode(pixels)
    write_bytes(target, data)
    return f"{source} -> {target}: {pixels.nbytes} -> {len(data)} bytes"


def _decode(codec: Codec | None, source: Path, target: Path) -> str:
    from freqexp.codec.files import read_bytes, write_bytes
    from freqexp.codecs.base import decode
    from freqexp.codecs.png import Png

    data = read_bytes(source)
    pixels = decode(data) if codec is None else codec.decode(data)
    write_bytes(target, Png().write(pixels))
    return f"{source} -> {target}: {pixels.shape[1]} x {pixels.shape[0]}"


def _info(paths: Sequence[Path]) -> int:
    """One line for each bitstream: what it is and its bytes by component."""
    from freqexp.codec.files import read_bytes
    from freqexp.codecs.base import section_bytes, taken_apart
    from freqexp.coding.bitstream import VERSION

    failed = 0
    for source, _ in [file for path in paths for file in _files(path, (SUFFIX,))]:
        try:
            data = read_bytes(source)
            stream, chosen = taken_apart(data)
            counts = section_bytes(chosen, stream, len(data))
        except UserError as error:
            failed += 1
            print(f"{source}: {error}", file=sys.stderr)
            continue
        height, width = stream.shape[:2]
        kind = "gray" if len(stream.shape) == 2 else "RGB"
        parts = ", ".join(f"{name} {count}" for name, count in counts.items())
        bits = 8 * len(data) / (height * width)
        print(
            f"{source}: {chosen.__name__} (version {VERSION}), {width} x {height} {kind}, "
            f"{len(data)} bytes ({parts}), {bits:.3f} bits a pixel"
        )
    return FAILED if failed else DONE


if __name__ == "__main__":
    sys.exit(main())
