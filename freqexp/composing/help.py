"""The text of `--help`, made from the YAML files; imports neither Hydra nor the schemas."""

from __future__ import annotations

import textwrap
from pathlib import Path

from freqexp import __version__

GROUPS = ("model", "compressor", "profile", "needles", "cluster", "render", "arm", "experiment")
WIDTH = len("llava_onevision_7b")
COLUMNS = 100

HEAD = """\
freqexp {version}: where in a vision-language model can you compress, what does it really save, and
what does it cost in accuracy? Renders conversations as pages, compresses the pages, their vision
tokens or the KV cache, lets the model answer MRCR retrieval questions, and prints accuracy beside
measured savings.

usage: python -m freqexp.run [group=option] [key=value] ...         one run and its baseline
       python -m freqexp.run -m [key=value,value,...] ...           a sweep: every combination
"""

VALUES = """\
Values
  keep_ratio=0.5         kept share in (0, 1], of coefficients, of tokens or of the KV cache
  keep_tokens=null       tokens a page instead, for token compressors whose count can be chosen;
                         for methods on the KV cache: tokens of each layer
  keep_like=null         or as many as that method makes of each page: pixel_prune, blank_prune,
                         merge
  samples=64             how many questions are asked; more, later, cost only those that are new
  seed=0                 seed of the generated samples
  baseline=true          also run compressor=none once and compare with it
  tracking=auto          W&B mirror: auto (offline without a key), online, offline, off
  wandb_project=freqexp  W&B project; wandb_entity=null its owner
  output_dir=outputs     where results are written
  encodings_cache_gb=0   disk in output_dir/cache for vision encodings that later runs reuse
  sweep_name=null        name of the sweep and W&B group; null: a name is made
  tags=[a,b] notes=null  for people: in W&B and sweep.json, without another run id
  codec=, token=, kv=    what compressor=combined is made of, one option of compressor each
  group.key=value        any value of a chosen option, for example compressor.block=8;
                         --cfg job shows them all
"""

TAIL = """\
Examples
  python -m freqexp.run
  python -m freqexp.run compressor=token profile=mild keep_ratio=0.3 samples=200
  python -m freqexp.run -m compressor=block_dct,token keep_ratio=0.3,0.5,0.7
  python -m freqexp.run compressor=token compressor.quantize=false      pruning alone
  python -m freqexp.run -m compressor=combined codec=none,block_dct token=none,token
  python -m freqexp.run needles=4 needles.path=4needle.parquet          an openai/mrcr file

Results
  A table on the screen, and in outputs/runs/<run id>/ the configuration, its provenance, one line
  of records.jsonl for each sample, and summary.json. The id covers everything that can change a
  score, so the same command again computes only what is missing.

Flags
  -m, --multirun   sweep over values with commas
  --cfg job        print the configuration and stop
  --config-dir D   also look for options in the folder D, laid out like conf/; conf/local of the
                   working directory, or FREQEXP_CONFIG_DIR, without a flag and before ours
  --config-path outputs/runs/ID --config-name config    a saved run again, with overrides
  --version        print the version
  --hydra-help     flags of Hydra, which reads the command line
"""


def help_text(conf: Path) -> str:
    """Every group, option and value, and examples. conf: the folder of YAML files."""
    return "\n".join([HEAD.format(version=__version__), _groups(conf), VALUES, TAIL]).rstrip()


def _groups(conf: Path) -> str:
    defaults = _defaults(conf / "run.yaml")
    lines = ["Options (group=option, * is the default; the model brings its render)"]
    for group in GROUPS:
        files = sorted((conf / group).glob("*.yaml"))
        for index, file in enumerate(files):
            mark = "*" if file.stem == defaults.get(group) else " "
            start = f"  {group if index == 0 else '':<11}{mark}{file.stem:<{WIDTH}}  "
            indent = " " * len(start)
            text = start + description(file)
            lines += textwrap.wrap(text, COLUMNS, subsequent_indent=indent, drop_whitespace=True)
    return "\n".join(lines) + "\n"


def description(file: Path) -> str:
    """The first comment of a YAML file that is not a directive to Hydra."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and not line.startswith("# @"):
            return line.removeprefix("# ")
    return ""


def _defaults(file: Path) -> dict[str, str]:
    """Default option of each group in a defaults list, read line by line."""
    pairs = (line.strip(" -").split(":", 1) for line in file.read_text().splitlines())
    return {pair[0]: pair[1].strip(' "') for pair in pairs if len(pair) == 2}
